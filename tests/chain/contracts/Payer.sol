// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Pays native coin from within, so that neither `to` nor `value` of the transaction shows it.
///
/// Faults it plays: frames of a trace that succeed below one that reverts, and DELEGATECALL and
/// CALLCODE frames, which a tracer may show with our address and a value although nothing moves.
contract Payer {
    receive() external payable {}

    /// One internal call.
    function pay(address to) external payable {
        send(to, msg.value);
    }

    /// Several internal calls.
    function multiPay(address[] calldata to, uint256[] calldata amounts) external payable {
        for (uint256 i = 0; i < to.length; i++) send(to[i], amounts[i]);
    }

    /// Succeeds, and pays nobody: `to` is paid two frames below one that reverts.
    function payAndRevertInner(address to) external payable {
        try this.payDeeperAndRevert{value: msg.value}(to) {
            revert("must not succeed");
        } catch {}
    }

    function payDeeperAndRevert(address to) external payable {
        this.pay{value: msg.value}(to);
        revert("after the payment");
    }

    /// The same, and then a payment that counts: `refused` wei are taken back, the rest arrives.
    function payTwiceRevertFirst(address to, uint256 refused) external payable {
        try this.payDeeperAndRevert{value: refused}(to) {
            revert("must not succeed");
        } catch {}
        send(to, msg.value - refused);
    }

    /// Runs the code of `to`, which has none, with the value of this call: nothing moves.
    function payByDelegatecall(address to) external payable {
        (bool done, ) = to.delegatecall("");
        require(done, "delegatecall");
    }

    /// The same by CALLCODE, whose value goes from this contract to itself.
    function payByCallcode(address to) external payable {
        uint256 value = msg.value;
        bool done;
        assembly {
            done := callcode(gas(), to, value, 0, 0, 0, 0)
        }
        require(done, "callcode");
    }

    /// A contract that ends in its constructor and leaves what it has to `to`: no call at all.
    function payBySelfdestruct(address to) external payable {
        new Bequest{value: msg.value}(payable(to));
    }

    function send(address to, uint256 value) private {
        (bool done, ) = to.call{value: value}("");
        require(done, "call");
    }
}

contract Bequest {
    constructor(address payable heir) payable {
        selfdestruct(heir);
    }
}
