//! HTTP beneath `/v1`, the interface and the website: connections and their certificates, bodies,
//! who sends what, and routes as tables. Nothing here knows what a request is about.

pub mod bodies;
pub mod body;
pub mod client_address;
pub mod client_io;
pub mod connection;
mod cors;
pub mod heads;
pub mod listener;
pub mod registry;
pub mod standing;
pub mod table;
pub mod tls;
