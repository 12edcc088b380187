//! The C face: `packetdrill_interface_init` and the functions that it hands out, each of which makes owned values of what C
//! lends, asks the stack, and gives back a result and `errno`. And two symbols of the C library that packetdrill calls on our
//! descriptors past the interface.

mod data;
mod instances;
mod memory;

use std::ffi::{CStr, c_char, c_int, c_long, c_longlong, c_short, c_ulong, c_void};

use burstlane::time::Duration;

use crate::Answer;
use crate::calls::Way;
use crate::epoll::Happened;
use crate::stack::Stack;
use crate::sysctl::Setup;
use memory::Memory;

/// `struct packetdrill_interface`.
#[repr(C)]
pub(crate) struct Interface {
    userdata: *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
    socket: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int) -> c_int,
    bind: unsafe extern "C" fn(*mut c_void, c_int, *const c_void, u32) -> c_int,
    listen: unsafe extern "C" fn(*mut c_void, c_int, c_int) -> c_int,
    accept: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, *mut u32) -> c_int,
    connect: unsafe extern "C" fn(*mut c_void, c_int, *const c_void, u32) -> c_int,
    data: data::Calls,
    fcntl: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_long) -> c_int,
    ioctl: unsafe extern "C" fn(*mut c_void, c_int, c_ulong, *mut c_int) -> c_int,
    close: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
    shutdown: unsafe extern "C" fn(*mut c_void, c_int, c_int) -> c_int,
    getsockopt: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int, *mut c_void, *mut u32) -> c_int,
    setsockopt: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int, *const c_void, u32) -> c_int,
    poll: unsafe extern "C" fn(*mut c_void, *mut libc::pollfd, c_ulong, c_int) -> c_int,
    netdev_send: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> c_int,
    netdev_receive: unsafe extern "C" fn(*mut c_void, *mut c_void, *mut usize, *mut c_longlong) -> c_int,
    usleep: unsafe extern "C" fn(*mut c_void, u32) -> c_int,
    gettimeofday: unsafe extern "C" fn(*mut c_void, *mut libc::timeval, *mut c_void) -> c_int,
    epoll_create: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
    epoll_ctl: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int, *const libc::epoll_event) -> c_int,
    epoll_wait: unsafe extern "C" fn(*mut c_void, c_int, *mut libc::epoll_event, c_int, c_int) -> c_int,
    pipe: unsafe extern "C" fn(*mut c_void, *mut c_int) -> c_int,
    splice: unsafe extern "C" fn(*mut c_void, c_int, *mut i64, c_int, *mut i64, usize, u32) -> isize,
}

/// Fills `interface` with a new stack; `flags` are described in the crate's README. Where none can be made all calls answer
/// `EFAULT`.
///
/// # Safety
/// `flags` is null or a string, `interface` can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, interface: *mut Interface) {
    let flags = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: a string, as the caller promised.
        unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
    };
    let userdata = instances::open(Setup::read(&flags)).unwrap_or_default();
    let filled = Interface {
        userdata,
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        data: data::CALLS,
        fcntl,
        ioctl,
        close: close_socket,
        shutdown,
        getsockopt: get_option,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    };
    // SAFETY: it can be written, as the caller promised.
    unsafe { interface.write(filled) };
}

/// `getsockopt` of the C library, for our descriptors and all others.
///
/// # Safety
/// As the C library's.
#[cfg(not(test))]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut u32,
) -> c_int {
    if instances::is_ours(fd) {
        let option = ask_descriptor(fd, move |stack| stack.getsockopt(fd, level, name));
        // SAFETY: as the caller promised.
        return finish(option.and_then(|bytes| unsafe { put_sized(&bytes, value, len) }));
    }
    // SAFETY: the same arguments, for the same call of the kernel.
    unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value, len) as c_int }
}

/// `close` of the C library, for our descriptors and all others.
#[cfg(not(test))]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn close(fd: c_int) -> c_int {
    if instances::is_ours(fd) {
        return finish(ask_descriptor(fd, move |stack| stack.close(fd)).map(|()| 0));
    }
    // SAFETY: takes its argument by value; who closes a descriptor that is not his is wrong with or without us.
    unsafe { libc::syscall(libc::SYS_close, fd) as c_int }
}

#[cfg(not(test))]
fn ask_descriptor<R: Send + 'static>(
    fd: c_int,
    work: impl FnOnce(&mut Stack) -> Answer<R> + Send + 'static,
) -> Answer<R> {
    instances::of_descriptor(fd).ok_or(libc::EBADF)?.call(work)
}

unsafe extern "C" fn free(userdata: *mut c_void) {
    instances::close(userdata);
}

unsafe extern "C" fn socket(userdata: *mut c_void, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    finish(ask(userdata, move |stack| stack.socket(domain, kind, protocol)))
}

unsafe extern "C" fn bind(userdata: *mut c_void, fd: c_int, address: *const c_void, len: u32) -> c_int {
    // SAFETY: an address of that length, as for `bind` of the C library.
    let address = unsafe { Memory::new(address, len as usize) }.read();
    finish(ask(userdata, move |stack| stack.bind(fd, &address).map(|()| 0)))
}

unsafe extern "C" fn listen(userdata: *mut c_void, fd: c_int, backlog: c_int) -> c_int {
    finish(ask(userdata, move |stack| stack.listen(fd, backlog).map(|()| 0)))
}

unsafe extern "C" fn accept(userdata: *mut c_void, fd: c_int, address: *mut c_void, len: *mut u32) -> c_int {
    let accepted = instances::of(userdata)
        .and_then(|stack| stack.wait(move |stack| stack.patience(fd, Way::In, 0), move |stack, _| stack.accept(fd)));
    finish(accepted.map(|(fd, peer)| {
        // SAFETY: as for `accept` of the C library. An address that nobody wants is lost.
        let _ = unsafe { put_sized(&peer, address, len) };
        fd
    }))
}

unsafe extern "C" fn connect(userdata: *mut c_void, fd: c_int, address: *const c_void, len: u32) -> c_int {
    // SAFETY: an address of that length, as for `connect` of the C library.
    let address = unsafe { Memory::new(address, len as usize) }.read();
    let mut has_begun = false;
    let attempt = move |stack: &mut Stack, is_last: bool| {
        if !has_begun {
            stack.connect(fd, &address)?;
            has_begun = true;
        }
        match stack.connected(fd) {
            Err(libc::EAGAIN) if is_last => Err(libc::EINPROGRESS),
            answer => answer.map(|()| 0),
        }
    };
    finish(instances::of(userdata).and_then(|it| it.wait(move |stack| stack.patience(fd, Way::Out, 0), attempt)))
}

unsafe extern "C" fn fcntl(userdata: *mut c_void, fd: c_int, command: c_int, argument: c_long) -> c_int {
    finish(ask(userdata, move |stack| stack.fcntl(fd, command, argument as c_int)))
}

unsafe extern "C" fn ioctl(userdata: *mut c_void, fd: c_int, request: c_ulong, argument: *mut c_int) -> c_int {
    // SAFETY: all requests that we know point at an `int`.
    let argument = unsafe { Memory::of(argument) };
    let number = argument.read_i32();
    let answer = number.and_then(|number| ask(userdata, move |stack| stack.ioctl(fd, request, number)));
    finish(answer.map(|number| {
        argument.write(&number.to_ne_bytes());
        0
    }))
}

unsafe extern "C" fn close_socket(userdata: *mut c_void, fd: c_int) -> c_int {
    finish(ask(userdata, move |stack| stack.close(fd).map(|()| 0)))
}

unsafe extern "C" fn shutdown(userdata: *mut c_void, fd: c_int, how: c_int) -> c_int {
    finish(ask(userdata, move |stack| stack.shutdown(fd, how).map(|()| 0)))
}

unsafe extern "C" fn get_option(
    userdata: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut u32,
) -> c_int {
    let option = ask(userdata, move |stack| stack.getsockopt(fd, level, name));
    // SAFETY: as for `getsockopt` of the C library.
    finish(option.and_then(|bytes| unsafe { put_sized(&bytes, value, len) }))
}

unsafe extern "C" fn setsockopt(
    userdata: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: u32,
) -> c_int {
    // SAFETY: a value of that length, as for `setsockopt` of the C library.
    let value = unsafe { Memory::new(value, len as usize) }.read();
    finish(ask(userdata, move |stack| stack.setsockopt(fd, level, name, &value).map(|()| 0)))
}

unsafe extern "C" fn poll(userdata: *mut c_void, fds: *mut libc::pollfd, count: c_ulong, timeout: c_int) -> c_int {
    // SAFETY: so many entries, as for `poll` of the C library.
    let memory = unsafe { Memory::new(fds.cast(), count as usize * size_of::<libc::pollfd>()) };
    // An entry: the descriptor, the bits that are asked for, the bits that hold.
    let asked: Vec<(i32, i16)> = memory
        .read()
        .as_chunks()
        .0
        .iter()
        .map(|[a, b, c, d, e, f, _, _]| (i32::from_ne_bytes([*a, *b, *c, *d]), i16::from_ne_bytes([*e, *f])))
        .collect();
    let (questions, always) = (asked.clone(), libc::POLLERR | libc::POLLHUP);
    let attempt = move |stack: &mut Stack, is_last: bool| {
        let holds = |(fd, bits): &(i32, i16)| match stack.readiness(*fd) {
            _ if *fd < 0 => 0,
            Ok(ready) => ready & (bits | always),
            Err(_) => libc::POLLNVAL,
        };
        let ready: Vec<c_short> = questions.iter().map(holds).collect();
        if is_last || ready.iter().any(|bits| *bits != 0) { Ok(ready) } else { Err(libc::EAGAIN) }
    };
    let answer = instances::of(userdata).and_then(|stack| stack.wait(move |_| milliseconds(timeout), attempt));
    finish(answer.map(|ready| {
        let entry = |((fd, bits), ready): (&(i32, i16), &i16)| {
            [&fd.to_ne_bytes()[..], &bits.to_ne_bytes(), &ready.to_ne_bytes()].concat()
        };
        memory.write(&asked.iter().zip(&ready).flat_map(entry).collect::<Vec<_>>());
        ready.iter().filter(|bits| **bits != 0).count() as c_int
    }))
}

unsafe extern "C" fn netdev_send(userdata: *mut c_void, packet: *const c_void, count: usize) -> c_int {
    // SAFETY: a packet of so many bytes.
    let packet = unsafe { Memory::new(packet, count) }.read();
    finish(ask(userdata, move |stack| if stack.world.arrive(&packet) { Ok(0) } else { Err(libc::EINVAL) }))
}

unsafe extern "C" fn netdev_receive(
    userdata: *mut c_void,
    buffer: *mut c_void,
    count: *mut usize,
    time_usecs: *mut c_longlong,
) -> c_int {
    // SAFETY: the caller's count.
    let size = unsafe { Memory::of(count) };
    let room = size.read().first_chunk().map_or(0, |bytes| usize::from_ne_bytes(*bytes));
    // SAFETY: a buffer of so many bytes.
    let buffer = unsafe { Memory::new(buffer, room) };
    // SAFETY: the caller's time.
    let time = unsafe { Memory::of(time_usecs) };
    let sent = ask(userdata, move |stack| {
        let sent = stack.next_packet();
        Ok(sent.unwrap_or((stack.world.now, vec![])))
    });
    finish(sent.map(|(at, packet)| {
        size.write(&buffer.write(&packet).to_ne_bytes());
        time.write(&((at.as_nanos() / 1000) as c_longlong).to_ne_bytes());
        0
    }))
}

unsafe extern "C" fn usleep(userdata: *mut c_void, micros: u32) -> c_int {
    finish(ask(userdata, move |stack| {
        stack.advance(stack.world.now + Duration::from_micros(micros.into()));
        Ok(0)
    }))
}

unsafe extern "C" fn gettimeofday(userdata: *mut c_void, time: *mut libc::timeval, _zone: *mut c_void) -> c_int {
    // SAFETY: as for `gettimeofday` of the C library.
    let time = unsafe { Memory::of(time) };
    // Callers spin on it.
    let now = ask(userdata, |stack| {
        stack.tick(Duration::from_micros(1));
        Ok(stack.world.now)
    });
    finish(now.map(|now| {
        let micros = now.as_nanos() / 1000;
        let parts = [micros / 1_000_000, micros % 1_000_000].map(|part| (part as i64).to_ne_bytes());
        time.write(&parts.concat());
        0
    }))
}

unsafe extern "C" fn epoll_create(userdata: *mut c_void, size: c_int) -> c_int {
    finish(ask(userdata, move |stack| if size > 0 { stack.epoll_create() } else { Err(libc::EINVAL) }))
}

unsafe extern "C" fn epoll_ctl(
    userdata: *mut c_void,
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *const libc::epoll_event,
) -> c_int {
    // SAFETY: null or an event, as for `epoll_ctl` of the C library.
    let event = unsafe { Memory::of(event) }.read();
    let event = event_of(&event);
    finish(ask(userdata, move |stack| stack.epoll_ctl(epoll, operation, fd, event).map(|()| 0)))
}

unsafe extern "C" fn epoll_wait(
    userdata: *mut c_void,
    epoll: c_int,
    events: *mut libc::epoll_event,
    events_max: c_int,
    timeout: c_int,
) -> c_int {
    let Some(room) = usize::try_from(events_max).ok().filter(|room| *room > 0) else {
        return finish(Err(libc::EINVAL));
    };
    // SAFETY: so many events, as for `epoll_wait` of the C library.
    let memory = unsafe { Memory::new(events.cast(), room * size_of::<libc::epoll_event>()) };
    let attempt = move |stack: &mut Stack, is_last: bool| match stack.epoll_wait(epoll, room) {
        Err(libc::EAGAIN) if is_last => Ok(vec![]),
        answer => answer,
    };
    let answer = instances::of(userdata).and_then(|stack| stack.wait(move |_| milliseconds(timeout), attempt));
    finish(answer.map(|happened| {
        memory.write(&happened.iter().flat_map(event_bytes).collect::<Vec<_>>());
        happened.len() as c_int
    }))
}

/// There is nothing to splice: data of a stack is in no file.
unsafe extern "C" fn pipe(_: *mut c_void, _: *mut c_int) -> c_int {
    finish(Err(libc::ENOSYS))
}

unsafe extern "C" fn splice(_: *mut c_void, _: c_int, _: *mut i64, _: c_int, _: *mut i64, _: usize, _: u32) -> isize {
    finish(Err(libc::ENOSYS)) as isize
}

/// `struct epoll_event`, which on some machines has a hole.
fn event_of(bytes: &[u8]) -> Option<Happened> {
    let events = u32::from_ne_bytes(*bytes.first_chunk()?);
    Some((events, u64::from_ne_bytes(*bytes.get(EVENT_DATA..)?.first_chunk()?)))
}

fn event_bytes((events, data): &Happened) -> Vec<u8> {
    let mut bytes = events.to_ne_bytes().to_vec();
    bytes.resize(EVENT_DATA, 0);
    bytes.extend(data.to_ne_bytes());
    bytes
}

const EVENT_DATA: usize = std::mem::offset_of!(libc::epoll_event, u64);

fn milliseconds(timeout: c_int) -> Option<Duration> {
    u64::try_from(timeout).ok().map(Duration::from_millis)
}

fn ask<R: Send + 'static>(
    userdata: *mut c_void,
    work: impl FnOnce(&mut Stack) -> Answer<R> + Send + 'static,
) -> Answer<R> {
    instances::of(userdata)?.call(work)
}

/// Writes a value and its length, where the caller gave its room.
///
/// # Safety
/// `len` is null or the bytes that can be written at `value`.
unsafe fn put_sized(bytes: &[u8], value: *mut c_void, len: *mut u32) -> Answer<c_int> {
    // SAFETY: null or a length, as the caller promised.
    let size = unsafe { Memory::of(len) };
    let room = u32::try_from(size.read_i32()?).map_err(|_| libc::EINVAL)?;
    // SAFETY: so many bytes, as the caller promised.
    let written = unsafe { Memory::new(value, room as usize) }.write(bytes);
    size.write(&(written as u32).to_ne_bytes());
    Ok(0)
}

/// A result as C has it: the value, or -1 and `errno`.
fn finish(answer: Answer<c_int>) -> c_int {
    answer.unwrap_or_else(|error| {
        // SAFETY: always valid, and this thread's own.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: the same.
        unsafe { place.write(error) };
        -1
    })
}
