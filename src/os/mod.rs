//! What Linux gives: processors, sockets, the process itself. Knows nothing of requests or models.

pub mod account;
mod cgroup;
pub mod cpus;
pub mod listening;
pub mod memory;
pub mod pidfile;
pub mod process;
pub mod signals;
pub mod socket;
pub mod systemd;
pub mod upgrade;
pub mod usage;
pub mod users;
