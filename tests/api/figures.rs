//! Sums over the whole database, which one node shows.

use crate::support::app::{Builder, TestApp};
use crate::support::upstream::Upstream;
use crate::support::wait::eventually;

const AVAILABLE: &str = "sluice_liabilities_nanousd{part=\"available\"}";

#[test]
fn liabilities_are_the_sum_of_all_balances() {
    let app = TestApp::with(&Upstream::start());
    app.account("12.5");
    app.account("0.25");
    let (database, _folder) = app.finish();
    // They are read at the start, and every two minutes.
    let mut builder = Builder::new().upstream("primary", Upstream::nowhere());
    builder.database = Some(database);
    let app = builder.start();
    eventually("the sums", || (app.metric(AVAILABLE) == 12_750_000_000).then_some(()));
    assert_eq!(app.metric("sluice_liabilities_nanousd{part=\"reserved\"}"), 0);
}
