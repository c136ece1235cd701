//! Rehearses the failures of a fault-tolerant pair, on one host, and checks what its clients see.
//!
//! A *rehearsal* builds two hosts and a client out of network namespaces ([`topology`]), starts a primary and a
//! backup in them ([`pair`]), puts load on the guest's service ([`client`]), breaks something ([`scenario`]), and
//! then judges by evidence from three sides:
//!
//! * what the clients saw: a [`history`] of requests and answers, which must be [linearizable](linearizability), and
//!   connections that must be the same to the end;
//! * what both sides said: their [`event`]s, put in one order by a [`timeline`];
//! * what can be computed again: a [`replay`] of the primary's event log must come to the very state that the
//!   backup had when it went live.
//!
//! The programs `demo` and `chaos` are two ways to run rehearsals; `scripts/demo` and `scripts/chaos` start them.
//! Everything that a rehearsal makes on the host is gone when it ends, however it ends ([`leftovers`]).

pub mod checkout;
pub mod client;
pub mod event;
pub mod history;
pub mod leftovers;
pub mod linearizability;
pub mod moment;
pub mod pair;
pub mod proxy;
pub mod replay;
pub mod scenario;
pub mod timeline;
pub mod topology;
pub mod verdict;
pub mod witness;
