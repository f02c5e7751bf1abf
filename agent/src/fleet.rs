//! What the agent knows of the fleet beside the records: contact with the hub and its time, keys, leases, whether the kinds are there.
//!
//! In: words of the link and of the start. Out: answers for `observe`. It must not decide, and it must not be needed: an
//! agent without a fleet has an empty one.

use std::sync::{Mutex, PoisonError, RwLock};

use agent_api::{FirstContact, Uid};
use agent_engine::HubContact;

use crate::hub_clock::HubClock;
use crate::lease_clock::{LeaseClock, Moment};
use crate::moments::by_clock_of;
use crate::permit::PermitKey;

/// Whether the API server has the fleet's kinds (gate.md G7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// It has not answered definitely.
    Unknown,
    /// It has them.
    Present,
    /// It does not.
    Absent,
}

/// Of the stream with the hub.
#[derive(Debug, Clone, Copy)]
enum Contact {
    Never,
    Connected,
    Lost(Moment),
}

/// The fleet's side of this agent.
#[derive(Debug)]
pub struct Fleet {
    /// A hub is set.
    pub has_hub: bool,
    /// What to do before the hub was ever heard.
    pub first_contact: FirstContact,
    /// UID of the kube-system namespace; empty without a hub.
    pub cluster_uid: Uid,
    name: RwLock<Option<String>>,
    kinds: Mutex<Kinds>,
    contact: Mutex<Contact>,
    permit_key: RwLock<Option<PermitKey>>,
    leases: Mutex<LeaseClock>,
    hub_clock: Mutex<HubClock>,
}

impl Fleet {
    /// The fleet's side before anything was heard.
    #[must_use]
    pub fn new(has_hub: bool, first_contact: FirstContact, cluster_uid: Uid) -> Self {
        Self {
            has_hub,
            first_contact,
            cluster_uid,
            name: RwLock::default(),
            kinds: Mutex::new(Kinds::Unknown),
            contact: Mutex::new(Contact::Never),
            permit_key: RwLock::new(None),
            leases: Mutex::default(),
            hub_clock: Mutex::default(),
        }
    }

    /// Whether the kinds are there.
    pub fn kinds(&self) -> Kinds {
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The API server has answered.
    pub fn set_kinds(&self, kinds: Kinds) {
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = kinds;
    }

    /// Contact with the hub, by the clock as it is set now: a silence is as long as it is, whatever that is set to (S12).
    pub fn contact(&self, at: Moment) -> HubContact {
        match *self.contact.lock().unwrap_or_else(PoisonError::into_inner) {
            Contact::Never => HubContact::Never,
            Contact::Connected => HubContact::Connected,
            Contact::Lost(then) => HubContact::Lost {
                since: by_clock_of(then, at),
            },
        }
    }

    /// The stream is up.
    pub fn connected(&self) {
        *self.contact.lock().unwrap_or_else(PoisonError::into_inner) = Contact::Connected;
    }

    /// The stream is down. Returns whether it was up.
    pub fn lost(&self, at: Moment) -> bool {
        let mut contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
        let was_up = matches!(*contact, Contact::Connected);
        if was_up {
            *contact = Contact::Lost(at);
        }
        was_up
    }

    /// The cluster's name in the fleet; none: the identity was not read yet, or there is no hub.
    pub fn member_name(&self) -> Option<String> {
        self.name
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The identity was read.
    pub fn set_member_name(&self, name: &str) {
        *self.name.write().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
    }

    /// The hub's key for permits.
    pub fn permit_key(&self) -> Option<PermitKey> {
        self.permit_key
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The key is known.
    pub fn set_permit_key(&self, key: PermitKey) {
        *self
            .permit_key
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    /// The leases, for one short look or change.
    pub fn leases<T>(&self, with: impl FnOnce(&mut LeaseClock) -> T) -> T {
        with(&mut self.leases.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The hub's time, likewise.
    pub fn hub_clock<T>(&self, with: impl FnOnce(&mut HubClock) -> T) -> T {
        with(
            &mut self
                .hub_clock
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}
