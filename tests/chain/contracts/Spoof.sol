// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// A contract that says whatever it likes in its logs, and moves nothing.
///
/// Faults it plays: a `Transfer` log that is no transfer, with any value up to 2^256-1; the log of
/// EIP-721, which has the same first topic and a fourth one; logs whose data is too short or too
/// long. It calls itself USDC, as look-alikes do.
contract Spoof {
    event Transfer(address indexed from, address indexed to, uint256 value);

    string public constant name = "USD Coin";
    string public constant symbol = "USDC";
    uint8 public constant decimals = 6;

    function say(address from, address to, uint256 value) external {
        emit Transfer(from, to, value);
    }

    /// `Transfer` of EIP-721: four topics and no data.
    function sayErc721(address from, address to, uint256 id) external {
        bytes32 topic = Transfer.selector;
        assembly {
            log4(0, 0, topic, from, to, id)
        }
    }

    /// Any log, of up to four topics.
    function sayRaw(bytes32[] calldata topics, bytes calldata data) external {
        bytes memory copy = data;
        uint256 count = topics.length;
        require(count <= 4, "topics");
        bytes32 a = count > 0 ? topics[0] : bytes32(0);
        bytes32 b = count > 1 ? topics[1] : bytes32(0);
        bytes32 c = count > 2 ? topics[2] : bytes32(0);
        bytes32 d = count > 3 ? topics[3] : bytes32(0);
        assembly {
            let start := add(copy, 32)
            let size := mload(copy)
            switch count
            case 0 { log0(start, size) }
            case 1 { log1(start, size, a) }
            case 2 { log2(start, size, a, b) }
            case 3 { log3(start, size, a, b, c) }
            default { log4(start, size, a, b, c, d) }
        }
    }
}
