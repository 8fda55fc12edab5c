//! The one way by which models come and go: at the start, by a signal, and by request, one operation after the other on a
//! thread of its own.
//!
//! A model is loaded beside what answers for its name, then takes its place at once. What was there before answers what it
//! has taken, and is freed after that. A load that fails changes nothing.

use super::{
    Models,
    attempt::{Abandoned, Attempt},
    load::{Failure, Setup, Version},
    operation::{Operation, Outcome, Pending, Queue, Refusal, Report, What},
    repository,
};
use crate::{
    config::Config,
    model::{
        engine::Engine,
        folder::{FolderError, Found},
        private,
    },
    os::process,
    pool::Pool,
};
use std::{
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What a reload does with the configuration, in two steps: between them it is seen whether its models can be listed.
pub trait Reread: Send {
    /// Reads it again, and changes nothing.
    ///
    /// # Errors
    /// Why it cannot be used.
    fn read(&mut self) -> Result<Config, String>;

    /// Goes by it from now on, and says what of it wants a restart.
    ///
    /// # Errors
    /// Why it cannot be used; then nothing has changed.
    fn apply(&mut self, config: &Config) -> Result<Vec<String>, String>;
}

/// The handle to the thread; cheap to clone. It ends with the last of them.
#[derive(Clone, Debug)]
pub struct Loader(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    queue: Arc<Queue>,
    /// Whether the thread has ended, and whether that was with nothing left behind.
    ended: Arc<AtomicBool>,
    clean: Arc<AtomicBool>,
}

/// How long a dropped loader is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it is looked whether a model that has answered all is used by a last run.
const FADING: Duration = Duration::from_secs(60);

/// How often it is looked whether an old model has answered all, while there is one.
const LOOK: Duration = Duration::from_millis(50);

impl Loader {
    /// Starts the thread, which begins to load the models that `setup` names into `models`, and says how to wait for that.
    ///
    /// # Errors
    /// Where a thread cannot be made.
    pub fn start(
        setup: Setup,
        pool: Arc<Pool>,
        models: Models,
        reread: Box<dyn Reread>,
    ) -> io::Result<(Self, Pending)> {
        let queue = Arc::new(Queue::default());
        let (ended, clean) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let first = queue.ask(Operation::Reload).expect("an empty queue has room");
        let work = Work {
            setup,
            pool,
            models,
            reread,
            queue: Arc::clone(&queue),
            clean: Arc::clone(&clean),
            abandoned: Abandoned::default(),
            begun: false,
            fading: Vec::new(),
        };
        let done = Arc::clone(&ended);
        thread::Builder::new().name("loader".into()).spawn(move || {
            work.live();
            done.store(true, Ordering::Release);
        })?;
        Ok((Self(Arc::new(Handle { queue, ended, clean })), first))
    }

    /// Has something done after what is under way. Whoever drops the answer need not wait for it.
    ///
    /// # Errors
    /// Where too much is waiting already, or the server ends.
    pub fn ask(&self, operation: Operation) -> Result<Pending, Refusal> {
        self.0.queue.ask(operation)
    }

    /// What it is at, on which model, and since when.
    #[must_use]
    pub fn current(&self) -> Option<(Operation, Option<String>, Instant)> {
        self.0.queue.current()
    }

    /// Takes nothing more, and ends what is under way: who waits for something is told so.
    pub fn close(&self) {
        self.0.queue.stop();
    }

    /// Ends the thread: false where it did not end within `patience`, or a load that does not end was left behind.
    #[must_use]
    pub fn stop(&self, patience: Duration) -> bool {
        self.0.stop(patience)
    }
}

impl Handle {
    fn stop(&self, patience: Duration) -> bool {
        self.queue.stop();
        let until = Instant::now() + patience;
        while !self.ended.load(Ordering::Acquire) {
            if Instant::now() >= until {
                return false;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
        self.clean.load(Ordering::Acquire)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Whoever has stopped it has waited for as long as it was worth.
        if !self.queue.is_stopped() {
            self.stop(PATIENCE);
        }
    }
}

/// What the thread has.
struct Work {
    setup: Setup,
    pool: Arc<Pool>,
    models: Models,
    reread: Box<dyn Reread>,
    queue: Arc<Queue>,
    clean: Arc<AtomicBool>,
    abandoned: Abandoned,
    /// Whether the first operation is over: workers are at work since.
    begun: bool,
    /// Engines that nobody will use any more, but somebody may hold until then.
    fading: Vec<(Weak<dyn Engine>, Instant)>,
}

impl Work {
    fn live(mut self) {
        private::remove_stale(self.setup.config.cache.as_deref());
        while let Some(next) = self.queue.next(self.is_tidying().then_some(LOOK)) {
            if let Some(operation) = next {
                let answer = self.operate(&operation);
                self.begun = true;
                // What nobody uses is gone before it is said to be.
                self.tidy();
                self.queue.done(Arc::new(answer));
            } else {
                self.tidy();
            }
        }
        self.clean.store(self.abandoned.is_empty(), Ordering::Release);
    }

    fn operate(&mut self, operation: &Operation) -> Result<Report, Refusal> {
        let answer = match operation {
            Operation::Reload => self.reload(),
            Operation::Load(name) => self.load_by_name(name),
            Operation::Unload(name) => self.unload(name),
        };
        let has_loaded = |outcome: &Outcome| matches!(outcome.what, What::Loaded(_) | What::Failed { .. });
        if answer.as_ref().is_ok_and(|report| report.outcomes.iter().any(has_loaded)) {
            // Loading takes much memory for a moment; to look for it takes long where there is much of it.
            process::release_free_memory();
        }
        match &answer {
            Err(Refusal::Stopped) => tracing::info!("{operation}: given up, since the server is stopping"),
            Err(refusal) => tracing::error!("{operation}: {refusal}"),
            Ok(report) if self.begun => tracing::info!("{operation}: {report}"),
            Ok(_) => {}
        }
        answer
    }

    /// Makes everything as the configuration has it.
    fn reload(&mut self) -> Result<Report, Refusal> {
        let mut notes = Vec::new();
        let mut config = Arc::clone(&self.setup.config);
        if self.begun {
            config = Arc::new(self.reread.read().map_err(Refusal::Config)?);
        }
        let found = repository::scan(&config).map_err(|error| self.unreadable(&error))?;
        if self.begun {
            notes = self.reread.apply(&config).map_err(Refusal::Config)?;
            notes.extend_from_slice(&config.notes);
            notes.iter().for_each(|note| tracing::warn!("{note}"));
        }
        self.setup.config = config;
        let mut outcomes = self.withdraw_others(&found);
        let wanted: Vec<Found> =
            found.into_iter().filter(|found| !found.is_empty() || self.models.knows(&found.name)).collect();
        if wanted.is_empty() {
            tracing::warn!(models = %self.setup.config.models.display(), "there is no model to serve");
        }
        for found in &wanted {
            if self.models.serving(&found.name).is_empty() && !self.models.is_unloaded(&found.name) {
                self.models.begin(&found.name);
            }
        }
        for found in wanted {
            if self.queue.is_stopped() {
                return Err(Refusal::Stopped);
            }
            outcomes.push(if self.models.is_unloaded(&found.name) {
                tracing::info!(model = found.name, "stays unloaded, as it was asked to be");
                Outcome::new(found.name, What::Unloaded)
            } else {
                self.load(found)
            });
        }
        outcomes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Report { outcomes, notes })
    }

    /// Takes the models away whose files are gone: first, so that the others have their memory.
    fn withdraw_others(&mut self, found: &[Found]) -> Vec<Outcome> {
        let gone = |name: &String| !found.iter().any(|found| found.name == *name);
        let names: Vec<String> = self.models.names().into_iter().filter(gone).collect();
        let remove = |name: String| {
            tracing::info!(model = name, "removed");
            self.models.withdraw(&name, false);
            Outcome::new(name, What::Removed)
        };
        let removed = names.into_iter().map(remove).collect();
        self.tidy();
        removed
    }

    fn load_by_name(&mut self, name: &str) -> Result<Report, Refusal> {
        let found = repository::scan(&self.setup.config).map_err(|error| self.unreadable(&error))?;
        let known = |found: &Found| found.name == name && (!found.is_empty() || self.models.knows(name));
        let found = found.into_iter().find(known).ok_or_else(|| Refusal::Unknown(name.to_owned()))?;
        Ok(Report { outcomes: vec![self.load(found)], notes: Vec::new() })
    }

    fn unload(&mut self, name: &str) -> Result<Report, Refusal> {
        if !self.models.knows(name) {
            return Err(Refusal::Unknown(name.to_owned()));
        }
        self.models.withdraw(name, true);
        tracing::info!(model = name, "unloaded");
        Ok(Report { outcomes: vec![Outcome::new(name.to_owned(), What::Unloaded)], notes: Vec::new() })
    }

    /// The log has the path, which is not for everybody's eyes.
    fn unreadable(&self, error: &FolderError) -> Refusal {
        tracing::error!("{error}");
        Refusal::Repository(match error {
            FolderError::Repository(_, error) => error.to_string(),
            other => other.to_string(),
        })
    }

    /// Loads a model beside what answers for its name, and puts it in its place.
    fn load(&mut self, found: Found) -> Outcome {
        let Found { name, folder } = found;
        let begun = Instant::now();
        self.queue.at(&name);
        self.models.begin(&name);
        let before = self.models.serving(&name);
        let attempt = Attempt {
            setup: &self.setup,
            aside: self.begun,
            is_stopped: &|| self.queue.is_stopped(),
            abandoned: &mut self.abandoned,
        };
        let loaded = folder.map_err(Failure::from).and_then(|folder| attempt.load(folder, &before));
        let what = match loaded {
            Ok(versions) => {
                let numbers = versions.iter().map(Version::number).collect();
                let kept = versions.iter().all(|version| matches!(version, Version::Kept(_)));
                let whole = kept && versions.len() == self.models.serving(&name).len();
                self.models.publish(&name, versions, &self.pool);
                if whole { What::Unchanged(numbers) } else { What::Loaded(numbers) }
            }
            Err(failure) => {
                self.models.fail(&name, &failure, self.setup.config.strict_models);
                let serving = self.models.serving(&name).iter().map(|served| served.version).collect();
                What::Failed { version: failure.version, reason: failure.cause.to_string(), serving }
            }
        };
        let outcome = Outcome { name, what, took: begun.elapsed() };
        if let What::Failed { .. } = outcome.what {
            tracing::error!("{outcome}");
        }
        self.tidy();
        outcome
    }

    fn is_tidying(&self) -> bool {
        self.models.is_leaving() || !self.fading.is_empty()
    }

    /// Frees what has answered all that it took.
    fn tidy(&mut self) {
        let left = self.models.take_left();
        let now = Instant::now();
        self.fading.extend(left.iter().map(|served| (Arc::downgrade(&served.engine), now + FADING)));
        drop(left);
        let before = self.fading.len();
        // A stuck run may hold one for ever, which nobody need look for so long.
        self.fading.retain(|(engine, until)| engine.strong_count() > 0 && *until > now);
        if self.fading.len() < before {
            process::release_free_memory();
        }
    }
}
