//! The ten calls that move data. All come down to two: take bytes, give bytes.

use std::ffi::{c_int, c_void};

use super::finish;
use super::instances;
use super::memory::{Memory, gather, scatter, vector};
use crate::Answer;
use crate::calls::Way;
use crate::stack::Stack;

/// Their place in `struct packetdrill_interface`.
#[repr(C)]
pub(crate) struct Calls {
    read: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, usize) -> isize,
    readv: unsafe extern "C" fn(*mut c_void, c_int, *const libc::iovec, c_int) -> isize,
    recv: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, usize, c_int) -> isize,
    recvfrom: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, usize, c_int, *mut c_void, *mut u32) -> isize,
    recvmsg: unsafe extern "C" fn(*mut c_void, c_int, *mut libc::msghdr, c_int) -> isize,
    write: unsafe extern "C" fn(*mut c_void, c_int, *const c_void, usize) -> isize,
    writev: unsafe extern "C" fn(*mut c_void, c_int, *const libc::iovec, c_int) -> isize,
    send: unsafe extern "C" fn(*mut c_void, c_int, *const c_void, usize, c_int) -> isize,
    sendto: unsafe extern "C" fn(*mut c_void, c_int, *const c_void, usize, c_int, *const c_void, u32) -> isize,
    sendmsg: unsafe extern "C" fn(*mut c_void, c_int, *const libc::msghdr, c_int) -> isize,
}

pub(super) const CALLS: Calls = Calls { read, readv, recv, recvfrom, recvmsg, write, writev, send, sendto, sendmsg };

unsafe extern "C" fn read(userdata: *mut c_void, fd: c_int, buffer: *mut c_void, count: usize) -> isize {
    // SAFETY: a buffer of so many bytes, as for `read` of the C library.
    receive(userdata, fd, &[unsafe { Memory::new(buffer, count) }], 0)
}

unsafe extern "C" fn readv(userdata: *mut c_void, fd: c_int, parts: *const libc::iovec, count: c_int) -> isize {
    // SAFETY: so many buffers, as for `readv` of the C library.
    match unsafe { vector(parts, usize::try_from(count).unwrap_or(usize::MAX)) } {
        Ok(parts) => receive(userdata, fd, &parts, 0),
        Err(error) => finish(Err(error)) as isize,
    }
}

unsafe extern "C" fn recv(userdata: *mut c_void, fd: c_int, buffer: *mut c_void, count: usize, flags: c_int) -> isize {
    // SAFETY: a buffer of so many bytes, as for `recv` of the C library.
    receive(userdata, fd, &[unsafe { Memory::new(buffer, count) }], flags)
}

unsafe extern "C" fn recvfrom(
    userdata: *mut c_void,
    fd: c_int,
    buffer: *mut c_void,
    count: usize,
    flags: c_int,
    _address: *mut c_void,
    address_len: *mut u32,
) -> isize {
    // SAFETY: null or a length, as for `recvfrom` of the C library. Of a connection no address is told.
    unsafe { Memory::of(address_len) }.write(&0u32.to_ne_bytes());
    // SAFETY: a buffer of so many bytes, as for `recvfrom` of the C library.
    receive(userdata, fd, &[unsafe { Memory::new(buffer, count) }], flags)
}

unsafe extern "C" fn recvmsg(userdata: *mut c_void, fd: c_int, message: *mut libc::msghdr, flags: c_int) -> isize {
    // SAFETY: a message, as for `recvmsg` of the C library, nobody's else during the call.
    let Some(message) = (unsafe { message.as_mut() }) else { return finish(Err(libc::EFAULT)) as isize };
    (message.msg_namelen, message.msg_controllen, message.msg_flags) = (0, 0, 0);
    // SAFETY: its buffers, as for `recvmsg` of the C library.
    match unsafe { vector(message.msg_iov, message.msg_iovlen) } {
        Ok(parts) => receive(userdata, fd, &parts, flags),
        Err(error) => finish(Err(error)) as isize,
    }
}

unsafe extern "C" fn write(userdata: *mut c_void, fd: c_int, bytes: *const c_void, count: usize) -> isize {
    // SAFETY: so many bytes, as for `write` of the C library.
    transmit(userdata, fd, unsafe { Memory::new(bytes, count) }.read(), 0)
}

unsafe extern "C" fn writev(userdata: *mut c_void, fd: c_int, parts: *const libc::iovec, count: c_int) -> isize {
    // SAFETY: so many buffers, as for `writev` of the C library.
    match unsafe { vector(parts, usize::try_from(count).unwrap_or(usize::MAX)) } {
        Ok(parts) => transmit(userdata, fd, gather(&parts), 0),
        Err(error) => finish(Err(error)) as isize,
    }
}

unsafe extern "C" fn send(userdata: *mut c_void, fd: c_int, bytes: *const c_void, count: usize, flags: c_int) -> isize {
    // SAFETY: so many bytes, as for `send` of the C library.
    transmit(userdata, fd, unsafe { Memory::new(bytes, count) }.read(), flags)
}

unsafe extern "C" fn sendto(
    userdata: *mut c_void,
    fd: c_int,
    bytes: *const c_void,
    count: usize,
    flags: c_int,
    _address: *const c_void,
    _address_len: u32,
) -> isize {
    // SAFETY: so many bytes, as for `sendto` of the C library. A connection has its peer: the address says nothing new.
    transmit(userdata, fd, unsafe { Memory::new(bytes, count) }.read(), flags)
}

unsafe extern "C" fn sendmsg(userdata: *mut c_void, fd: c_int, message: *const libc::msghdr, flags: c_int) -> isize {
    // SAFETY: a message, as for `sendmsg` of the C library.
    let Some(message) = (unsafe { message.as_ref() }) else { return finish(Err(libc::EFAULT)) as isize };
    // SAFETY: its buffers, as for `sendmsg` of the C library.
    match unsafe { vector(message.msg_iov, message.msg_iovlen) } {
        Ok(parts) => transmit(userdata, fd, gather(&parts), flags),
        Err(error) => finish(Err(error)) as isize,
    }
}

fn receive(userdata: *mut c_void, fd: c_int, parts: &[Memory], flags: c_int) -> isize {
    let room = parts.iter().map(Memory::len).sum();
    let waits_for_all = flags & libc::MSG_WAITALL != 0 && flags & libc::MSG_PEEK == 0;
    let mut got: Vec<u8> = vec![];
    let attempt = move |stack: &mut Stack, is_last: bool| {
        let more = stack.read(fd, room - got.len(), flags);
        let is_end = match &more {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => *error != libc::EAGAIN,
        };
        match more {
            Err(error) if got.is_empty() => return Err(error),
            more => got.extend(more.unwrap_or_default()),
        }
        if waits_for_all && got.len() < room && !is_end && !is_last {
            return Err(libc::EAGAIN);
        }
        Ok(std::mem::take(&mut got))
    };
    let answer = wait(userdata, fd, Way::In, flags, attempt).map(|bytes| {
        scatter(parts, &bytes);
        bytes.len()
    });
    count(answer)
}

fn transmit(userdata: *mut c_void, fd: c_int, bytes: Vec<u8>, flags: c_int) -> isize {
    if flags & libc::MSG_FASTOPEN != 0 {
        return finish(Err(libc::EOPNOTSUPP)) as isize;
    }
    let mut done = 0;
    let attempt = move |stack: &mut Stack, is_last: bool| {
        loop {
            match stack.write(fd, bytes.get(done..).unwrap_or_default(), flags) {
                Ok(taken) => done += taken,
                Err(libc::EAGAIN) if done > 0 && !is_last => return Err(libc::EAGAIN),
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
            if done == bytes.len() {
                return Ok(done);
            }
        }
    };
    count(wait(userdata, fd, Way::Out, flags, attempt))
}

fn wait<R: Send + 'static>(
    userdata: *mut c_void,
    fd: c_int,
    way: Way,
    flags: c_int,
    attempt: impl FnMut(&mut Stack, bool) -> Answer<R> + Send + 'static,
) -> Answer<R> {
    instances::of(userdata)?.wait(move |stack| stack.patience(fd, way, flags), attempt)
}

fn count(answer: Answer<usize>) -> isize {
    match answer {
        Ok(count) => count as isize,
        Err(error) => finish(Err(error)) as isize,
    }
}
