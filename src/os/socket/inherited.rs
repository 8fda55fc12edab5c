//! Listening sockets that were there before us: of systemd's socket activation, or of the process that we are to replace.

use super::{
    Address, BindError, Bound, Claim, Options, Reserved, SocketFile, file::Rights, local_address, reserve,
};
use rustix::net::{SocketType, sockopt};
use std::os::fd::OwnedFd;

/// Sockets that another process has handed over to us, listening already.
#[derive(Debug, Default)]
pub struct Inherited(Vec<Handed>);

/// One of them.
#[derive(Debug)]
pub struct Handed {
    /// The address that it was asked for by; `fd:NAME` for systemd's.
    pub address: Address,
    /// The socket.
    pub fd: OwnedFd,
    /// Its file, if it is for us to remove once we have taken over.
    pub file: Option<SocketFile>,
}

impl Inherited {
    /// What was handed over.
    #[must_use]
    pub fn new(handed: Vec<Handed>) -> Self {
        Self(handed)
    }

    /// Sockets for `address`: those handed over for it, else a new one.
    ///
    /// # Errors
    /// Why that is not possible.
    pub fn reserve(&mut self, address: &Address, options: &Options) -> Result<Vec<Reserved>, BindError> {
        // One name of systemd's may stand for several sockets; an address is one.
        let most = if matches!(address, Address::Inherited(_)) { usize::MAX } else { 1 };
        let mut found = Vec::new();
        while let Some(at) = self.0.iter().position(|handed| handed.address == *address)
            && found.len() < most
        {
            found.push(Reserved::adopt(self.0.remove(at), options)?);
        }
        if !found.is_empty() {
            return Ok(found);
        }
        match address {
            Address::Inherited(_) => Err(BindError::NotInherited(address.clone(), self.names())),
            _ => Ok(vec![reserve(address, options)?]),
        }
    }

    pub(super) fn names(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|handed| handed.address.to_string()).collect();
        match &names[..] {
            [] => "none were".to_owned(),
            names => format!("there is {}", names.join(", ")),
        }
    }

    /// What nobody has asked for.
    #[must_use]
    pub fn rest(self) -> Vec<Handed> {
        self.0
    }
}

/// Ends a socket that was handed over, and removes its file.
pub fn remove(handed: Handed) {
    let Handed { fd, file, .. } = handed;
    drop(fd);
    drop(Claim::new(file, true));
}

impl Reserved {
    /// A listening socket that was there before us. That of a process before us becomes what ours would be, once it is to
    /// listen; systemd's is as its unit has it.
    fn adopt(handed: Handed, options: &Options) -> Result<Self, BindError> {
        let Handed { address: requested, fd, file } = handed;
        let listens = sockopt::socket_acceptconn(&fd) == Ok(true)
            && sockopt::socket_type(&fd) == Ok(SocketType::STREAM);
        if !listens {
            return Err(BindError::NotListening(requested));
        }
        rustix::io::ioctl_fionbio(&fd, true).map_err(|errno| BindError::from_errno(&requested, errno))?;
        let address = local_address(&fd).unwrap_or_else(|| requested.clone());
        let rights = file.as_ref().map(|_| Rights::of(&requested, options)).transpose()?;
        let backlog = (!matches!(requested, Address::Inherited(_))).then_some(options.backlog);
        // Until its former holder has given it up, if ever.
        let claim = Claim::new(file, false);
        Ok(Self { bound: Bound { fd, requested, address, claim }, rights, backlog, lock: None })
    }
}
