//! A provider made of a function, for the tests of this module.
