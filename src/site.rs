//! The website: pages made on the server, forms that work without a script.

pub mod chart;
pub mod qr;
