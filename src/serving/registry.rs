//! The models by name and version: what answers requests, and how every other one stands.

use super::{
    Model,
    load::{Basis, Failure, Made, Version},
};
use crate::{
    pool::{Lane, Pool},
    telemetry::snapshot::Loads,
};
use predictd_protocol::excerpt::excerpt;
use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// A model, and where requests for it go.
#[derive(Debug)]
pub struct Served {
    /// What is run.
    pub model: Arc<Model>,
    /// Its queue.
    pub lane: Lane,
    /// Since when it answers.
    pub since: Instant,
    pub(super) basis: Basis,
}

impl Deref for Served {
    type Target = Model;

    fn deref(&self) -> &Model {
        &self.model
    }
}

impl Served {
    pub(super) fn open(made: Made, pool: &Pool) -> Self {
        let Made { model, basis } = made;
        let label = format!("{}/{}", model.name, model.version);
        let lane = pool.open(&label, Arc::clone(&model.engine), model.batching.clone());
        Self { model: Arc::new(model), lane, since: Instant::now(), basis }
    }
}

/// The models that are served, which may change at any time; cheap to clone, and all clones see the same. Whoever has found
/// a model keeps it until it is dropped, whatever becomes of the name meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Models {
    by_name: Arc<RwLock<BTreeMap<String, Entry>>>,
    loaded: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

/// One name.
#[derive(Debug, Default)]
struct Entry {
    /// What answers, lowest version first.
    served: Vec<Arc<Served>>,
    /// Since when something is loaded for it.
    loading: Option<Instant>,
    /// Why the last load came to nothing.
    failed: Option<Failed>,
    /// Since when it is unloaded by request.
    unloaded: Option<Instant>,
    /// What does not answer new requests any more, and has not answered all of the old.
    leaving: Vec<(Arc<Served>, Instant)>,
    /// Whether the server is not ready without it.
    required: bool,
}

#[derive(Clone, Debug)]
struct Failed {
    version: Option<u64>,
    reason: String,
    since: Instant,
}

/// Why nothing answers for a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lookup {
    /// No model of that name.
    #[error("there is no model '{}'", excerpt(.0))]
    Unknown(String),
    /// The model has other versions.
    #[error("model '{}' has no version {}; it has {}", .0, excerpt(.1), .2)]
    Version(String, String, String),
    /// It was taken out of service by request.
    #[error("model '{0}' is unloaded")]
    Unloaded(String),
    /// Not yet.
    #[error("model '{0}' is being loaded; try again in a moment")]
    Loading(String),
    /// It could not be loaded.
    #[error("model '{0}' could not be loaded; the server's log says why")]
    Failed(String),
}

/// How a version of a model stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is on its way.
    Loading,
    /// It answers.
    Ready,
    /// It would, but for a stuck run.
    Closed,
    /// It answers what it has taken, and nothing new.
    Unloading,
    /// It was unloaded, or could not be loaded.
    Unavailable,
}

/// The reason of what somebody has unloaded, which is as it should be.
pub const UNLOADED: &str = "unloaded";

/// What is known of a version of a model.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The model's name.
    pub name: String,
    /// The version, where it is known.
    pub version: Option<u64>,
    /// How it stands.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// Why it does not answer, or not as it should.
    pub reason: Option<String>,
    /// What answers, if anything does.
    pub served: Option<Arc<Served>>,
}

impl Models {
    /// The model of that name; its highest version if none is asked for.
    ///
    /// # Errors
    /// Where there is none.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<Served>, Lookup> {
        let by_name = self.read();
        let versions = answering(&by_name, name)?;
        let found = match version {
            None => versions.last(),
            Some(version) => versions.iter().find(|model| version.parse() == Ok(model.version)),
        };
        found.cloned().ok_or_else(|| {
            let known: Vec<String> = versions.iter().map(|model| model.version.to_string()).collect();
            Lookup::Version(name.to_owned(), version.unwrap_or_default().to_owned(), known.join(", "))
        })
    }

    /// All versions of the model of that name, lowest first.
    ///
    /// # Errors
    /// Where there is none.
    pub fn versions(&self, name: &str) -> Result<Vec<Arc<Served>>, Lookup> {
        Ok(answering(&self.read(), name)?.to_vec())
    }

    /// All models and versions that answer, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Served>> {
        self.read().values().flat_map(|entry| &entry.served).cloned().collect()
    }

    /// How many models answer, whatever their versions.
    #[must_use]
    pub fn answering(&self) -> usize {
        self.read().values().filter(|entry| !entry.served.is_empty()).count()
    }

    /// How every model and version stands, by name.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        self.read().iter().flat_map(|(name, entry)| entry.standings(name)).collect()
    }

    /// The models that should be served and are not.
    #[must_use]
    pub fn lacking(&self) -> Vec<String> {
        let by_name = self.read();
        let lacking = by_name.iter().filter(|(_, entry)| {
            entry.required && entry.served.is_empty() && entry.failed.is_some() && entry.unloaded.is_none()
        });
        lacking.map(|(name, _)| name.clone()).collect()
    }

    /// What became of all that was to be loaded.
    #[must_use]
    pub fn loads(&self) -> Loads {
        let [loaded, failed] = [&self.loaded, &self.failed].map(|count| count.load(Ordering::Relaxed));
        Loads { loaded, failed }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Entry>> {
        // Nothing that holds the lock panics half-way.
        self.by_name.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Entry>> {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answering<'a>(by_name: &'a BTreeMap<String, Entry>, name: &str) -> Result<&'a [Arc<Served>], Lookup> {
    let owned = || name.to_owned();
    let entry = by_name.get(name).ok_or_else(|| Lookup::Unknown(owned()))?;
    Err(match entry {
        Entry { served, .. } if !served.is_empty() => return Ok(served),
        Entry { loading: Some(_), .. } => Lookup::Loading(owned()),
        Entry { unloaded: Some(_), .. } => Lookup::Unloaded(owned()),
        Entry { failed: Some(_), .. } => Lookup::Failed(owned()),
        _ => Lookup::Unknown(owned()),
    })
}

/// For the loader, which alone changes anything.
impl Models {
    /// Whether anything is known of the name.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.read().contains_key(name)
    }

    /// All names of which anything is known.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.read().keys().cloned().collect()
    }

    /// Whether the model was unloaded by request.
    pub(super) fn is_unloaded(&self, name: &str) -> bool {
        self.read().get(name).is_some_and(|entry| entry.unloaded.is_some())
    }

    /// What answers for the name now.
    pub(super) fn serving(&self, name: &str) -> Vec<Arc<Served>> {
        self.read().get(name).map(|entry| entry.served.clone()).unwrap_or_default()
    }

    /// Something is loaded for the name from now on.
    pub(super) fn begin(&self, name: &str) {
        self.write().entry(name.to_owned()).or_default().loading = Some(Instant::now());
    }

    /// That came to nothing; what answers goes on.
    pub(super) fn fail(&self, name: &str, failure: &Failure, required: bool) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut by_name = self.write();
        let entry = by_name.entry(name.to_owned()).or_default();
        let reason = failure.cause.to_string();
        entry.loading = None;
        entry.failed = Some(Failed { version: failure.version, reason, since: Instant::now() });
        entry.required = required;
    }

    /// From now on these versions answer for the name, all at once, and no others.
    pub(super) fn publish(&self, name: &str, versions: Vec<Version>, pool: &Pool) {
        let open = |version| match version {
            Version::Kept(served) => served,
            Version::New(made) => {
                self.loaded.fetch_add(1, Ordering::Relaxed);
                Arc::new(Served::open(*made, pool))
            }
        };
        let mut served: Vec<Arc<Served>> = versions.into_iter().map(open).collect();
        served.sort_by_key(|served| served.version);
        let mut by_name = self.write();
        let entry = by_name.entry(name.to_owned()).or_default();
        entry.replace(served);
        (entry.loading, entry.failed, entry.unloaded) = (None, None, None);
    }

    /// From now on nothing answers for the name: because it is gone, or unloaded `by_request`.
    pub(super) fn withdraw(&self, name: &str, by_request: bool) {
        let mut by_name = self.write();
        let Some(entry) = by_name.get_mut(name) else { return };
        entry.replace(Vec::new());
        (entry.loading, entry.failed) = (None, None);
        entry.unloaded = by_request.then(Instant::now);
        by_name.retain(|_, entry| !entry.is_blank());
    }

    /// Takes out what has answered all that it took. Whoever drops it frees the model.
    pub(super) fn take_left(&self) -> Vec<Arc<Served>> {
        let mut by_name = self.write();
        let mut left = Vec::new();
        for entry in by_name.values_mut() {
            // Requests hold on to what they have found; nobody can find it any more.
            left.extend(entry.leaving.extract_if(.., |(served, _)| Arc::strong_count(served) == 1));
        }
        by_name.retain(|_, entry| !entry.is_blank());
        left.into_iter().map(|(served, _)| served).collect()
    }

    /// Whether there is anything that [`take_left`](Self::take_left) would give in time.
    pub(super) fn is_leaving(&self) -> bool {
        self.read().values().any(|entry| !entry.leaving.is_empty())
    }
}

impl Entry {
    fn replace(&mut self, served: Vec<Arc<Served>>) {
        let now = Instant::now();
        let before = std::mem::replace(&mut self.served, served);
        let goes = |old: &Arc<Served>| !self.served.iter().any(|served| Arc::ptr_eq(served, old));
        self.leaving.extend(before.into_iter().filter(goes).map(|served| (served, now)));
    }

    /// Whether there is nothing to be said any more.
    fn is_blank(&self) -> bool {
        self.served.is_empty()
            && self.leaving.is_empty()
            && self.loading.is_none()
            && self.failed.is_none()
            && self.unloaded.is_none()
    }

    fn standings(&self, name: &str) -> Vec<Standing> {
        let standing = |version, state, since, reason: Option<String>, served: Option<&Arc<Served>>| {
            Standing { name: name.to_owned(), version, state, since, reason, served: served.cloned() }
        };
        let answers = self.served.iter().map(|served| {
            let (state, since, reason) = match served.lane.closed() {
                None => (State::Ready, served.since, None),
                Some(closed) => (State::Closed, closed.since, Some(closed.reason)),
            };
            standing(Some(served.version), state, since, reason, Some(served))
        });
        let mut all: Vec<Standing> = answers.collect();
        for (served, since) in &self.leaving {
            // Its successor speaks for the version.
            if all.iter().all(|standing| standing.version != Some(served.version)) {
                all.push(standing(Some(served.version), State::Unloading, *since, None, Some(served)));
            }
        }
        if let Some(since) = self.loading.filter(|_| self.served.is_empty()) {
            all.push(standing(None, State::Loading, since, None, None));
        } else if let Some(Failed { version, reason, since }) = self.failed.clone() {
            // What serves in its stead says so.
            let stays = match version {
                None => self.served.len().checked_sub(1),
                Some(version) => self.served.iter().position(|served| served.version == version),
            };
            match stays.and_then(|at| all.get_mut(at)) {
                Some(old) => {
                    old.reason.get_or_insert_with(|| {
                        format!("as it was before, since the last load failed: {reason}")
                    });
                }
                None => all.push(standing(version, State::Unavailable, since, Some(reason), None)),
            }
        } else if let Some(since) = self.unloaded.filter(|_| all.is_empty()) {
            all.push(standing(None, State::Unavailable, since, Some(UNLOADED.into()), None));
        }
        all.sort_by_key(|standing| standing.version);
        all
    }
}
