//! The stacks of this process. packetdrill opens one; a program of tests may open several at a time. A stack is named by its
//! place in the table: that is what C calls the user data, and what a descriptor's number tells.

use std::ffi::c_void;
use std::sync::{Arc, PoisonError, RwLock};

use crate::Answer;
use crate::descriptors::FILES_MAX;
use crate::stack::Handle;
use crate::sysctl::Setup;

/// Calls only read it: a thread that slept here would be taken for one whose call waits.
static TABLE: RwLock<Vec<Option<Arc<Handle>>>> = RwLock::new(vec![]);

/// A new stack, whose clock the calling thread drives; returns its user data.
pub(super) fn open(setup: Setup) -> Answer<*mut c_void> {
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    let place = table.iter().position(Option::is_none).unwrap_or(table.len());
    if place >= STACKS_MAX {
        return Err(libc::EMFILE);
    }
    let handle = Arc::new(Handle::open(setup, FIRST_DESCRIPTOR + place as i32 * FILES_MAX)?);
    if let Some(free) = table.get_mut(place) {
        *free = Some(handle);
    } else {
        table.push(Some(handle));
    }
    // Never null: that is what a caller without a stack has.
    Ok(std::ptr::without_provenance_mut(place + 1))
}

/// Ends a stack.
pub(super) fn close(userdata: *mut c_void) {
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = userdata.addr().checked_sub(1).and_then(|place| table.get_mut(place)) {
        *place = None;
    }
}

/// The stack of a call.
pub(super) fn of(userdata: *mut c_void) -> Answer<Arc<Handle>> {
    at(userdata.addr().checked_sub(1)).ok_or(libc::EFAULT)
}

#[cfg(not(test))]
/// The stack of a descriptor, if one has it.
pub(super) fn of_descriptor(fd: i32) -> Option<Arc<Handle>> {
    at(fd.checked_sub(FIRST_DESCRIPTOR).and_then(|at| usize::try_from(at / FILES_MAX).ok()))
}

#[cfg(not(test))]
/// Whether descriptors of such numbers are ours.
pub(super) fn is_ours(fd: i32) -> bool {
    fd >= FIRST_DESCRIPTOR
}

fn at(place: Option<usize>) -> Option<Arc<Handle>> {
    TABLE.read().unwrap_or_else(PoisonError::into_inner).get(place?)?.clone()
}

/// Numbers that no process has files at.
const FIRST_DESCRIPTOR: i32 = 1_000_000;
const STACKS_MAX: usize = 256;
