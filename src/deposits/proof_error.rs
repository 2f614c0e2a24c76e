//! Why a signed message does not prove a wallet. Each reason has a fixed word for programs and a
//! sentence for people.

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is longer than any message of ours.
    #[error("The message is longer than 4096 bytes.")]
    TooLong,
    /// It is not of the form of EIP-4361.
    #[error(
        "Line {line} of the message is not as EIP-4361 has it. Sign the message exactly as it was given."
    )]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
    /// It is of another version of the standard.
    #[error("The message has a version other than 1.")]
    Version,
    /// It was made for another site.
    #[error(
        "The message names another site. If you signed it there, be careful: that site asked for access to this one."
    )]
    ForeignDomain,
    /// It was made for another place.
    #[error("The message names an address outside this site.")]
    ForeignUri,
    /// It is about another wallet than was asked for.
    #[error("The message names another wallet than its nonce was made for. Ask for a new message.")]
    WrongAddress,
    /// It is for another chain than was asked for.
    #[error("The message names another chain than its nonce was made for. Ask for a new message.")]
    WrongChain,
    /// It links the wallet to somebody else, or says nothing of whom.
    #[error(
        "The message does not link the wallet to this account. Ask for a new message while you use this account."
    )]
    OtherAccount,
    /// We did not give out its nonce, or have forgotten it.
    #[error("The nonce of the message is not known, or ran out long ago. Ask for a new message.")]
    UnknownNonce,
    /// It has been used.
    #[error("The message has been used already. Ask for a new one.")]
    NonceUsed,
    /// It was signed too late.
    #[error("The message has expired. Ask for a new one.")]
    Expired,
    /// It begins to count later.
    #[error("The message is not valid yet.")]
    NotYetValid,
    /// It claims to be from later than now.
    #[error("The message claims to have been issued in the future.")]
    IssuedInFuture,
    /// The signature is no hexadecimal of a sensible length.
    #[error(
        "The signature must be 0x and hexadecimal digits, for 64 to 8192 bytes: perhaps it was not copied as a whole. Only a contract that has approved the message on its chain signs with 0x alone."
    )]
    SignatureForm,
    /// Another key made the signature, or signed something else, and no contract stands there.
    #[error(
        "The signature is not of the wallet that the message names: another key made it, or signed other words. Sign the message as it is, with the wallet that it names."
    )]
    SignatureWrong,
    /// It is not a key's signature, and no contract stands there that could be asked.
    #[error(
        "No key makes such a signature, and on this chain there is no contract at the wallet's address that could be asked. If the wallet is a contract, choose its chain. If it is not deployed yet, send its signature together with its deployment (ERC-6492), or let it pay something first, which deploys it."
    )]
    NotDeployed,
    /// The contract does not accept the signature.
    #[error("The contract at this address does not accept the signature (EIP-1271).")]
    ContractRefused,
    /// The contract does not accept the signature, deployed as the signature says.
    #[error(
        "The contract at this address does not accept the signature, or is not deployed by what comes with it (ERC-6492)."
    )]
    DeploymentRefused,
}

impl ProofError {
    /// The word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "message_too_long",
            Self::Malformed { .. } => "message_malformed",
            Self::Version => "message_version",
            Self::ForeignDomain => "foreign_domain",
            Self::ForeignUri => "foreign_uri",
            Self::WrongAddress => "wrong_address",
            Self::WrongChain => "wrong_chain",
            Self::OtherAccount => "other_account",
            Self::UnknownNonce => "unknown_nonce",
            Self::NonceUsed => "nonce_used",
            Self::Expired => "message_expired",
            Self::NotYetValid => "message_not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::SignatureForm => "signature_malformed",
            Self::SignatureWrong => "signature_wrong",
            Self::NotDeployed => "wallet_not_deployed",
            Self::ContractRefused => "contract_refused",
            Self::DeploymentRefused => "deployment_refused",
        }
    }
}
