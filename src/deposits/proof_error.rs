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
        "Line {line} of the message does not follow EIP-4361. Sign the message exactly as it was \
         given."
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
        "The message names a different site. If you signed it there, be careful: that site tried \
         to get access to this one."
    )]
    ForeignDomain,
    /// It was made for another place.
    #[error("The message names an address outside this site.")]
    ForeignUri,
    /// It is about another wallet than was asked for.
    #[error("The message names a different wallet than its nonce. Request a new message.")]
    WrongAddress,
    /// It is for another chain than was asked for.
    #[error("The message names a different chain than its nonce. Request a new message.")]
    WrongChain,
    /// It links the wallet to somebody else, or says nothing of whom.
    #[error(
        "The message does not link the wallet to this account. Request a new message from this \
         account."
    )]
    OtherAccount,
    /// We did not give out its nonce, or have forgotten it.
    #[error("The nonce of the message is unknown or expired long ago. Request a new message.")]
    UnknownNonce,
    /// It has been used.
    #[error("The message was already used. Request a new one.")]
    NonceUsed,
    /// It was signed too late.
    #[error("The message has expired. Request a new one.")]
    Expired,
    /// It begins to count later.
    #[error("The message is not valid yet.")]
    NotYetValid,
    /// It claims to be from later than now.
    #[error("The message has an issue time in the future.")]
    IssuedInFuture,
    /// The signature is no hexadecimal of a sensible length.
    #[error(
        "The signature must be 0x and hexadecimal digits for 64 to 8192 bytes. Check that you \
         copied all of it. Only contracts that approved the message on their chain use just 0x."
    )]
    SignatureForm,
    /// Another key made the signature, or signed something else, and no contract stands there.
    #[error(
        "The signature does not match the wallet in the message: the key or the text differs. Sign \
         the unchanged message with the wallet it names."
    )]
    SignatureWrong,
    /// It is not a key's signature, and no contract stands there that could be asked.
    #[error(
        "This is not the signature of a key, and this chain has no contract at the wallet's \
         address. If the wallet is a contract, choose its chain. If it is not deployed yet, send \
         its signature with its deployment (ERC-6492), or make a first payment, which deploys it."
    )]
    NotDeployed,
    /// The contract does not accept the signature.
    #[error("The contract at this address does not accept the signature (EIP-1271).")]
    ContractRefused,
    /// The contract does not accept the signature, deployed as the signature says.
    #[error(
        "The contract at this address does not accept the signature, or the attached deployment \
         does not create it (ERC-6492)."
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
