//! Tells the service manager where the server stands: what the log says too, and health and readiness go by.

use crate::{
    os::systemd::{Message, Notifier},
    pool::{Pool, Pulse},
    telemetry::phase::{Life, Phase},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinHandle, time::timeout};

/// How often it is said that loading goes on, at the start and in a reload; each load has an end of its own.
pub(super) const LOADING: Duration = Duration::from_secs(10);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Announcer {
    voice: Arc<Voice>,
    life: Life,
}

#[derive(Debug)]
struct Voice {
    systemd: Notifier,
    /// Whether we are the service: neither before we have taken over nor after somebody else has.
    speaks: AtomicBool,
}

impl Voice {
    fn say(&self, messages: &[Message<'_>]) {
        if self.speaks.load(Ordering::Relaxed) {
            self.systemd.say(messages);
        }
    }

    fn phase(&self, phase: Phase, words: &str) {
        let status = Message::Status(words);
        match phase {
            Phase::Starting | Phase::Loading | Phase::Upgrading | Phase::Stopped => self.say(&[status]),
            Phase::Ready => self.say(&[Message::Ready, status]),
            Phase::Reloading => self.say(&[Message::Reloading, status]),
            Phase::Draining | Phase::Cancelling => self.say(&[Message::Stopping, status]),
        }
    }
}

impl Announcer {
    /// For a server that is the service, or is only to become it.
    pub(super) fn new(is_successor: bool) -> Self {
        let voice = Voice { systemd: Notifier::from_environment(), speaks: (!is_successor).into() };
        let voice = Arc::new(voice);
        let herald = Arc::clone(&voice);
        let life = Life::begin(Phase::Starting, Box::new(move |phase, words| herald.phase(phase, words)));
        Self { voice, life }
    }

    /// Of the server that is announced.
    pub(super) fn life(&self) -> &Life {
        &self.life
    }

    /// What goes on may take so much longer.
    pub(super) fn extend(&self, time: Duration) {
        self.voice.say(&[Message::ExtendTimeout(time)]);
    }

    /// Says of each reload that it goes on, for as long as it does: the service manager allows it no more time than a start.
    pub(super) fn extend_reloads(&self) -> Saying {
        let (voice, mut phases) = (Arc::clone(&self.voice), self.life.watch());
        Saying(tokio::spawn(async move {
            while phases.wait_for(|phase| *phase == Phase::Reloading).await.is_ok() {
                voice.say(&[Message::ExtendTimeout(3 * LOADING)]);
                let _ = timeout(LOADING, phases.changed()).await;
            }
        }))
    }

    /// From now on we are the service.
    pub(super) fn take_over(&self) {
        self.voice.speaks.store(true, Ordering::Relaxed);
    }

    /// Process `successor` is the service from now on.
    pub(super) fn hand_over(&self, successor: u32) {
        self.voice.say(&[Message::MainPid(successor)]);
        self.voice.speaks.store(false, Ordering::Relaxed);
    }

    /// Feeds the service manager's watchdog, if there is one, for as long as `pool` makes progress.
    pub(super) fn feed_watchdog(&self, pool: &Arc<Pool>) -> Option<Saying> {
        let interval = self.voice.systemd.watchdog()?;
        let (voice, pool) = (Arc::clone(&self.voice), Arc::clone(pool));
        Some(Saying(tokio::spawn(async move {
            let (mut pulse, mut hungry) = (Pulse::default(), false);
            let mut next = tokio::time::interval(interval);
            loop {
                next.tick().await;
                let beats = pulse.beats(&pool);
                if beats {
                    voice.say(&[Message::Watchdog]);
                } else if !hungry {
                    tracing::error!(
                        "the workers make no progress: systemd's watchdog is not fed until they do"
                    );
                }
                hungry = !beats;
            }
        })))
    }
}

/// Ends when dropped.
#[derive(Debug)]
pub(super) struct Saying(JoinHandle<()>);

impl Drop for Saying {
    fn drop(&mut self) {
        self.0.abort();
    }
}
