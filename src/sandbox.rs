//! `sluice sandbox`: an upstream emulator that speaks the wire without an account anywhere.
