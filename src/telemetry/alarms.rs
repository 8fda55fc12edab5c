//! What is wrong right now, for whoever looks; what begins and ends is in the log as well.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Those of a server; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Alarms(Arc<Mutex<BTreeMap<String, Alarm>>>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What kind.
    pub kind: &'static str,
    /// In words.
    pub text: String,
    /// Since when.
    pub since: Instant,
}

impl Alarms {
    /// It begins, or has other words now; `key` tells it from others.
    pub fn raise(&self, key: &str, alarm: Alarm) {
        self.lock().insert(key.to_owned(), alarm);
    }

    /// It is over.
    pub fn clear(&self, key: &str) {
        self.lock().remove(key);
    }

    /// All that there are.
    #[must_use]
    pub fn all(&self) -> Vec<Alarm> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Alarm>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
