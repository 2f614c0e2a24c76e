//! Prices of feeds by rounds.
