// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// A wallet that is a contract (EIP-1271), for one owner. A mock: whoever asks may make it pay.
///
/// As a delegate of EIP-7702 its storage is the delegating account's, where no owner is set: then
/// that account itself is the signer. Faults it plays: an owner who changes after a proof, and
/// answers that no honest wallet gives.
contract Wallet1271 {
    enum Answer {
        Honest,
        Always,
        Reverts,
        Endless,
        Short,
        Long,
        Dirty
    }

    bytes4 private constant VALID = 0x1626ba7e;
    bytes4 private constant INVALID = 0xffffffff;

    address public owner;
    Answer public answer;

    constructor(address owner_) payable {
        owner = owner_;
    }

    receive() external payable {}

    function setOwner(address owner_) external {
        owner = owner_;
    }

    function setAnswer(Answer answer_) external {
        answer = answer_;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        if (answer == Answer.Honest) return isOwners(hash, signature) ? VALID : INVALID;
        if (answer == Answer.Always) return VALID;
        if (answer == Answer.Reverts) revert("no");
        if (answer == Answer.Endless) while (true) {}
        bytes4 valid = VALID;
        if (answer == Answer.Short) {
            assembly {
                mstore(0, valid)
                return(0, 4)
            }
        }
        if (answer == Answer.Long) {
            assembly {
                mstore(0, valid)
                return(0, 65536)
            }
        }
        // The magic value, and something behind it in the same word.
        assembly {
            mstore(0, or(valid, 1))
            return(0, 32)
        }
    }

    /// Pays, or calls a token, as this wallet.
    function execute(address to, uint256 value, bytes calldata data) external payable {
        (bool done, bytes memory output) = to.call{value: value}(data);
        if (!done) {
            assembly {
                revert(add(output, 32), mload(output))
            }
        }
    }

    function isOwners(bytes32 hash, bytes calldata signature) private view returns (bool) {
        if (signature.length != 65) return false;
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        address signer = ecrecover(hash, v < 27 ? v + 27 : v, r, s);
        return signer != address(0) && signer == (owner == address(0) ? address(this) : owner);
    }
}
