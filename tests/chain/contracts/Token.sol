// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// An EIP-20 token with any name, symbol and decimals, so that it may pose as another one.
///
/// Faults it plays: a fee that is taken from what arrives, a `transfer` that answers false and
/// moves nothing in a transaction that succeeds, and several transfers in one transaction, by one
/// payer or in the names of many. Too low a balance reverts, which makes a failed transaction with our address in its input.
contract Token {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    string public name;
    string public symbol;
    uint8 public decimals;
    /// Hundredths of a percent that go to this contract, with a log of their own after the first.
    uint16 public feeBps;
    /// While true, nothing moves, and nobody is told but by the answer.
    bool public refuses;
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    constructor(string memory name_, string memory symbol_, uint8 decimals_, uint16 feeBps_) {
        name = name_;
        symbol = symbol_;
        decimals = decimals_;
        feeBps = feeBps_;
    }

    function setRefuses(bool refuses_) external {
        refuses = refuses_;
    }

    /// As an upgrade behind a proxy may.
    function setDecimals(uint8 decimals_) external {
        decimals = decimals_;
    }

    function setFeeBps(uint16 feeBps_) external {
        feeBps = feeBps_;
    }

    function mint(address to, uint256 value) external {
        totalSupply += value;
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        return move(msg.sender, to, value);
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        if (refuses) return false;
        allowance[from][msg.sender] -= value;
        return move(from, to, value);
    }

    function multi(address[] calldata to, uint256[] calldata amounts) external {
        for (uint256 i = 0; i < to.length; i++) move(msg.sender, to[i], amounts[i]);
    }

    /// As a batch of payments that many have signed for.
    function multiFrom(address[] calldata from, address[] calldata to, uint256 value) external {
        for (uint256 i = 0; i < from.length; i++) {
            balanceOf[to[i]] += value;
            emit Transfer(from[i], to[i], value);
        }
    }

    function move(address from, address to, uint256 value) private returns (bool) {
        if (refuses) return false;
        require(balanceOf[from] >= value, "balance");
        uint256 fee = (value * feeBps) / 10_000;
        balanceOf[from] -= value;
        balanceOf[to] += value - fee;
        emit Transfer(from, to, value - fee);
        if (fee > 0) {
            balanceOf[address(this)] += fee;
            emit Transfer(from, address(this), fee);
        }
        return true;
    }
}
