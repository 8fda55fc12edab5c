//! The listening sockets of a server: taken at once, so that what is wrong with them is known before models are loaded;
//! listening when it is ready; in the end let go, or left to the process that takes over.

use super::Unavailable;
use crate::{
    config::Config,
    os::socket::{self, Address, Bound, Claim, Handed, Inherited, Options, Reserved},
    wire::Listener,
};
use anyhow::Context;

/// Sockets that nobody can connect to yet, unless somebody else listened on them before.
#[derive(Debug)]
pub(super) struct Taken {
    listen: Vec<Reserved>,
    admin: Vec<Reserved>,
    uwsgi_stats: Vec<Reserved>,
    /// Of the process before us, and not wanted any more.
    left: Vec<Handed>,
}

impl Taken {
    /// Takes all that `config` asks for: those `inherited`, else new ones.
    ///
    /// # Errors
    /// The first that cannot be had; then all are let go.
    pub(super) fn all(config: &Config, mut inherited: Inherited) -> Result<Self, Unavailable> {
        let mut listen = Vec::new();
        for address in &config.listen {
            listen.extend(inherited.reserve(address, &config.socket.options).map_err(Unavailable::Bind)?);
            if let Address::Abstract(_) = address
                && config.socket.allow_users.is_empty()
            {
                tracing::warn!(
                    "{address} has no rights: every user of this machine can connect, unless socket.allow_users says who may"
                );
            }
        }
        // Their sockets are for our own user: whoever can open admin's can do everything, and statistics name what is asked.
        let private = Options { mode: 0o600, owner: None, group: None, ..config.socket.options };
        let mut admin = Vec::new();
        if let Some(address) = &config.admin {
            admin.extend(inherited.reserve(address, &private).map_err(Unavailable::Bind)?);
            // Of what was handed over the configuration alone does not tell it.
            let remote = admin.iter().map(Reserved::address).find(|bound| bound.is_remote());
            if let Some(bound) = remote.filter(|_| !config.admin_allow_remote) {
                return Err(Unavailable::RemoteAdmin(address.clone(), bound.clone()));
            }
        }
        let mut uwsgi_stats = Vec::new();
        if let Some(address) = &config.uwsgi_stats {
            uwsgi_stats.extend(inherited.reserve(address, &private).map_err(Unavailable::Bind)?);
            // The configuration has a note of its own on what it tells by itself.
            let remote = uwsgi_stats.iter().map(Reserved::address).find(|bound| bound.is_remote());
            if let Some(bound) = remote.filter(|_| !address.is_remote()) {
                tracing::warn!(
                    "uwsgi_stats = \"{address}\" is {bound}, which is reached by other machines, who need not say who they are"
                );
            }
        }
        let left = inherited.rest();
        for Handed { address, .. } in &left {
            tracing::warn!(
                "{address} was handed over, and no key of the configuration names it: nobody answers there"
            );
        }
        Ok(Self { listen, admin, uwsgi_stats, left })
    }

    /// Lets connections come. To be called within a tokio runtime.
    ///
    /// # Errors
    /// The first that cannot listen.
    pub(super) fn listen(self) -> anyhow::Result<Listening> {
        let mut held = Held { sockets: Vec::new(), claims: Vec::new(), left: self.left };
        let mut all = |reserved: Vec<Reserved>| -> anyhow::Result<Vec<Listener>> {
            let listen = |reserved: Reserved| held.hold(reserved.listen().map_err(Unavailable::Bind)?);
            reserved.into_iter().map(listen).collect()
        };
        let (public, admin) = (all(self.listen)?, all(self.admin)?);
        Ok(Listening { public, admin, uwsgi_stats: all(self.uwsgi_stats)?, held })
    }
}

/// Sockets that can be connected to.
#[derive(Debug)]
pub(super) struct Listening {
    /// `listen`
    pub(super) public: Vec<Listener>,
    /// `admin`
    pub(super) admin: Vec<Listener>,
    /// `uwsgi_stats`
    pub(super) uwsgi_stats: Vec<Listener>,
    /// To hand them over by.
    pub(super) held: Held,
}

/// What it takes to hand the sockets over. To be dropped when that will not be any more: with it they stay open.
#[derive(Debug)]
pub(super) struct Held {
    sockets: Vec<Handed>,
    claims: Vec<Claim>,
    left: Vec<Handed>,
}

impl Held {
    fn hold(&mut self, bound: Bound) -> anyhow::Result<Listener> {
        let address = bound.requested.clone();
        let fd = bound.fd.try_clone().with_context(|| format!("{address} cannot be kept"))?;
        self.sockets.push(Handed { address, fd, file: bound.claim.file().cloned() });
        self.claims.push(bound.claim.clone());
        let shown = bound.address.clone();
        Listener::new(bound).with_context(|| format!("{shown} cannot be watched"))
    }

    /// To be handed over.
    pub(super) fn sockets(&self) -> &[Handed] {
        &self.sockets
    }

    /// Another process has them now: nothing of them is ours to end or remove.
    pub(super) fn give_up(&self) {
        self.claims.iter().for_each(Claim::give_up);
    }

    /// The process before us has given them up. Those that systemd has made remain systemd's.
    pub(super) fn take_over(&mut self) {
        for (claim, socket) in self.claims.iter().zip(&self.sockets) {
            if !matches!(socket.address, Address::Inherited(_)) {
                claim.take_over();
            }
        }
        self.left.drain(..).for_each(socket::remove);
    }
}
