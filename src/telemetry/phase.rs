//! Where a server stands in its life. Health, readiness, drain, the service manager, `/status` and the log all go by it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use tokio::sync::watch;

/// From the first to the last, with the two that may come and go in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The configuration is known; sockets are taken, and do not listen.
    Starting,
    /// Models are loaded and run once.
    Loading,
    /// Requests are answered.
    Ready,
    /// As ready, while the configuration and models are read again.
    Reloading,
    /// As ready, while the process that is to take over starts.
    Upgrading,
    /// What was accepted is answered; nothing new is taken.
    Draining,
    /// What is left is given up.
    Cancelling,
    /// Nothing is left.
    Stopped,
}

impl Phase {
    /// As the log and `/status` call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Reloading => "reloading",
            Self::Upgrading => "upgrading",
            Self::Draining => "draining",
            Self::Cancelling => "cancelling",
            Self::Stopped => "stopped",
        }
    }

    /// Whether a front end should send requests.
    #[must_use]
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Ready | Self::Reloading | Self::Upgrading)
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn is_ending(self) -> bool {
        self >= Self::Draining
    }

    /// Whether a server may go from here to `next`: forward, except that what comes and goes leads back to `Ready`.
    #[must_use]
    fn leads_to(self, next: Self) -> bool {
        match (self, next) {
            (Self::Reloading | Self::Upgrading, Self::Ready) => true,
            (Self::Reloading, Self::Upgrading) => false,
            _ => self < next,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Hears of each phase and what a person should read of it, before anybody acts on it.
pub type Herald = Box<dyn Fn(Phase, &str) + Send + Sync>;

/// Says what there is to read of a server that is ready, as it is at that moment.
pub type Words = Box<dyn Fn() -> String + Send + Sync>;

/// The life of one server; all clones are of the same.
#[derive(Clone)]
pub struct Life(Arc<Inner>);

struct Inner {
    phase: watch::Sender<Phase>,
    begun: Instant,
    herald: Herald,
    ready: Mutex<Option<Words>>,
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Life").field(&self.phase()).finish()
    }
}

impl Life {
    /// One that begins now; `herald` hears of what follows.
    #[must_use]
    pub fn begin(phase: Phase, herald: Herald) -> Self {
        let phase = watch::Sender::new(phase);
        Self(Arc::new(Inner { phase, begun: Instant::now(), herald, ready: Mutex::default() }))
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// When it began.
    #[must_use]
    pub fn begun(&self) -> Instant {
        self.0.begun
    }

    /// Goes on to `next`, with a line in the log; false where that is not the way, and then nothing changes.
    pub fn enter(&self, next: Phase, words: &str) -> bool {
        let moved = self.0.phase.send_if_modified(|phase| {
            let leads = phase.leads_to(next);
            if leads {
                *phase = next;
            }
            leads
        });
        if moved {
            tracing::info!(phase = next.name(), "{words}");
            (self.0.herald)(next, words);
        }
        moved
    }

    /// Goes on to being ready, which `words` describe from now on.
    pub fn ready(&self, words: Words) {
        *self.0.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
        self.settle();
    }

    /// Goes back to being ready.
    pub fn settle(&self) {
        let words = self.0.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let words = words.as_ref().map(|words| words()).unwrap_or_default();
        self.enter(Phase::Ready, &words);
    }

    /// To wait for changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_life_goes_forward_and_may_reload_and_upgrade_in_between() {
        use Phase::{Cancelling, Draining, Loading, Ready, Reloading, Starting, Stopped, Upgrading};
        let life = |phase| Life::begin(phase, Box::new(|_, _| {}));
        let one = life(Starting);
        for phase in
            [Loading, Ready, Reloading, Ready, Upgrading, Ready, Upgrading, Draining, Cancelling, Stopped]
        {
            assert!(one.enter(phase, ""), "{phase}");
            assert_eq!(one.phase(), phase);
            assert_eq!(phase.is_ending(), !phase.is_ready() && phase > Loading);
        }
        for phase in [Starting, Ready, Upgrading, Draining, Stopped] {
            assert!(!one.enter(phase, ""), "{phase}");
        }
        let one = life(Reloading);
        assert!(!one.enter(Upgrading, ""), "one after the other");
        assert!(one.enter(Draining, ""));
        assert!(!life(Draining).enter(Reloading, ""));
        assert!(life(Starting).enter(Stopped, ""), "a signal while it starts");
    }

    #[test]
    fn the_herald_hears_what_happens_and_nothing_else() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let herald = move |phase: Phase, words: &str| hears.lock().unwrap().push(format!("{phase}: {words}"));
        let life = Life::begin(Phase::Loading, Box::new(herald));
        let models = Arc::new(AtomicUsize::new(1));
        let counted = Arc::clone(&models);
        life.ready(Box::new(move || format!("serving {}", counted.load(Ordering::Relaxed))));
        life.settle();
        models.store(2, Ordering::Relaxed);
        life.enter(Phase::Reloading, "reading");
        life.settle();
        assert_eq!(*heard.lock().unwrap(), ["ready: serving 1", "reloading: reading", "ready: serving 2"]);
    }
}
