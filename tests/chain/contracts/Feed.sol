// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// A price feed as Chainlink builds them: this is the proxy of `AggregatorV3Interface`, whose round
/// ids are `phase << 64 | round of the phase's aggregator`, and a new phase has a new aggregator.
///
/// Faults it plays: rounds that are old, negative, zero or from the future, a description and
/// decimals of another feed, a round that is asked for and does not exist, a change of phase.
contract Feed {
    string public description;
    uint8 public decimals;
    uint256 public constant version = 4;
    uint16 public phaseId;
    mapping(uint16 => Aggregator) public phaseAggregators;
    /// Whether a round that does not exist reverts, as of old, or is all zeros, as of late.
    bool public missingReverts = true;

    constructor(string memory description_, uint8 decimals_) {
        description = description_;
        decimals = decimals_;
        newPhase();
    }

    function setDescription(string calldata description_) external {
        description = description_;
    }

    function setDecimals(uint8 decimals_) external {
        decimals = decimals_;
    }

    function setMissingReverts(bool missingReverts_) external {
        missingReverts = missingReverts_;
    }

    function aggregator() public view returns (Aggregator) {
        return phaseAggregators[phaseId];
    }

    function newPhase() public {
        phaseId += 1;
        phaseAggregators[phaseId] = new Aggregator();
    }

    /// A round of the phase in force; `answer` in units of 10^-decimals, `updatedAt` in seconds.
    function push(int256 answer, uint256 updatedAt) external {
        aggregator().push(answer, updatedAt);
    }

    /// A round of any phase: an aggregator may have had rounds before its phase, and after it.
    function pushTo(uint16 phase, int256 answer, uint256 updatedAt) external {
        phaseAggregators[phase].push(answer, updatedAt);
    }

    function latestRound() external view returns (uint256) {
        return (uint256(phaseId) << 64) | aggregator().latestRound();
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return round(phaseId, aggregator().latestRound());
    }

    function getRoundData(uint80 id) external view returns (uint80, int256, uint256, uint256, uint80) {
        return round(uint16(id >> 64), uint64(id));
    }

    function round(
        uint16 phase,
        uint256 number
    ) private view returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80) {
        Aggregator source = phaseAggregators[phase];
        if (address(source) != address(0) && number > 0 && number <= source.latestRound()) {
            (answer, updatedAt) = source.rounds(number - 1);
            id = (uint80(phase) << 64) | uint80(number);
            return (id, answer, updatedAt, updatedAt, id);
        }
        require(!missingReverts, "No data present");
        return (0, 0, 0, 0, 0);
    }
}

/// The rounds of one phase, from 1.
contract Aggregator {
    struct Round {
        int256 answer;
        uint256 updatedAt;
    }

    Round[] public rounds;

    function latestRound() external view returns (uint256) {
        return rounds.length;
    }

    function push(int256 answer, uint256 updatedAt) external {
        rounds.push(Round(answer, updatedAt));
    }
}
