//! An account that would be erased but for what came in after the wish: its operator hears of it.

use sluice::accounts::deletion::closing::Closed;
use sluice::accounts::deletion::erasure;

use super::{GRACE_HOURS, HOUR_MILLIS, close, is_there};
use crate::support::alerting::Watched;
use crate::support::app::{TestApp, credit};
use crate::support::wait::eventually;

#[test]
fn the_operator_hears_once_a_day_of_accounts_that_stay_because_of_a_late_balance() {
    let app = TestApp::sandboxed();
    let (late, waived) = (app.account("0"), app.account("0"));
    assert!(matches!(close(&app, &late, false), Closed::Begun { .. }));
    assert!(matches!(close(&app, &waived, true), Closed::Begun { .. }));
    app.db(|conn| {
        credit(conn, late.id, 5);
        credit(conn, waived.id, 5);
    });
    let watched = Watched::new(app.admin_address);
    let stuck = || app.metric("sluice_closings_stuck");
    let alerts = || app.metric("sluice_alerts_total{what=\"closing_with_balance\"}");
    let found = || {
        let (grace, now) = (app.settings.accounts.closing_grace, app.clock.now());
        app.db(|conn| erasure::stuck(conn, grace, now).unwrap())
    };
    app.clock.advance(GRACE_HOURS * HOUR_MILLIS - 1);
    assert_eq!(found(), Vec::<String>::new());
    app.clock.advance(1);
    assert_eq!(found(), [late.public_id.as_str()]);
    eventually("the account to be told of", || (stuck() == 1).then_some(()));
    eventually("the alert", || (alerts() == 1).then_some(()));
    // The clock went on by days, and the lease did not.
    watched.fires_beside(&["SluiceClosingStuck"], &["SluiceLeaseLost"]);
    eventually("the other to go", || (!is_there(&app, &waived)).then_some(()));
    app.clock.advance(24 * HOUR_MILLIS);
    eventually("the second alert", || (alerts() == 2).then_some(()));
    assert!(is_there(&app, &late));
    assert!(matches!(close(&app, &late, true), Closed::Begun { .. }));
    eventually("the account to go", || (!is_there(&app, &late)).then_some(()));
    eventually("nothing to be told of", || (stuck() == 0).then_some(()));
    assert_eq!(alerts(), 2);
}
