//! What the handlers of one worker work with: made anew after a reload, when the next request
//! comes. Whoever has begun keeps what was in force then.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::dev::Extensions;
use actix_web::web::Data;
use tokio::sync::watch;

use super::handlers::Handlers;
use crate::gateway::Gateway;

/// See the module.
pub(super) struct WorkerData(RefCell<Generation>);

struct Generation {
    changes: watch::Receiver<Arc<Handlers>>,
    gateway: Data<Gateway>,
    data: Rc<Extensions>,
}

impl WorkerData {
    /// By the handlers that are there now.
    pub(super) fn new(mut changes: watch::Receiver<Arc<Handlers>>) -> Self {
        let handlers = Arc::clone(&changes.borrow_and_update());
        let gateway = Data::new(handlers.gateway(&[]));
        let data = extensions(&handlers, &gateway);
        Self(RefCell::new(Generation { changes, gateway, data }))
    }

    /// For a request that begins now.
    pub(super) fn current(&self) -> Rc<Extensions> {
        let mut now = self.0.borrow_mut();
        if now.changes.has_changed().unwrap_or(false) {
            let handlers = Arc::clone(&now.changes.borrow_and_update());
            now.gateway = Data::new(handlers.gateway(&now.gateway.upstreams));
            now.data = extensions(&handlers, &now.gateway);
        }
        Rc::clone(&now.data)
    }
}

fn extensions(handlers: &Handlers, gateway: &Data<Gateway>) -> Rc<Extensions> {
    let mut data = Extensions::new();
    data.insert(gateway.clone());
    data.insert(handlers.api.clone());
    data.insert(handlers.site.clone());
    Rc::new(data)
}
