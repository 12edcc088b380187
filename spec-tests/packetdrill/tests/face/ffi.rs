//! The shared object as packetdrill sees it: loaded, and called through C.

use std::ffi::{CString, c_char, c_int, c_long, c_short, c_void};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

type User = *mut c_void;
type Bytes = *const u8;
type Room = *mut u8;

/// `struct packetdrill_interface`, written down anew: a place of its own in the real one would show here.
#[repr(C)]
struct Interface {
    userdata: User,
    free: extern "C" fn(User),
    socket: extern "C" fn(User, c_int, c_int, c_int) -> c_int,
    bind: unsafe extern "C" fn(User, c_int, Bytes, u32) -> c_int,
    listen: extern "C" fn(User, c_int, c_int) -> c_int,
    accept: unsafe extern "C" fn(User, c_int, Room, *mut u32) -> c_int,
    connect: unsafe extern "C" fn(User, c_int, Bytes, u32) -> c_int,
    read: unsafe extern "C" fn(User, c_int, Room, usize) -> isize,
    readv: unsafe extern "C" fn(User, c_int, *const libc::iovec, c_int) -> isize,
    recv: unsafe extern "C" fn(User, c_int, Room, usize, c_int) -> isize,
    recvfrom: *const c_void,
    recvmsg: *const c_void,
    write: unsafe extern "C" fn(User, c_int, Bytes, usize) -> isize,
    writev: *const c_void,
    send: unsafe extern "C" fn(User, c_int, Bytes, usize, c_int) -> isize,
    sendto: *const c_void,
    sendmsg: *const c_void,
    fcntl: extern "C" fn(User, c_int, c_int, c_long) -> c_int,
    ioctl: unsafe extern "C" fn(User, c_int, u64, *mut c_int) -> c_int,
    close: extern "C" fn(User, c_int) -> c_int,
    shutdown: extern "C" fn(User, c_int, c_int) -> c_int,
    getsockopt: unsafe extern "C" fn(User, c_int, c_int, c_int, Room, *mut u32) -> c_int,
    setsockopt: unsafe extern "C" fn(User, c_int, c_int, c_int, Bytes, u32) -> c_int,
    poll: unsafe extern "C" fn(User, *mut libc::pollfd, u64, c_int) -> c_int,
    netdev_send: unsafe extern "C" fn(User, Bytes, usize) -> c_int,
    netdev_receive: unsafe extern "C" fn(User, Room, *mut usize, *mut i64) -> c_int,
    usleep: extern "C" fn(User, u32) -> c_int,
    gettimeofday: unsafe extern "C" fn(User, *mut libc::timeval, *mut c_void) -> c_int,
    epoll_create: extern "C" fn(User, c_int) -> c_int,
    epoll_ctl: unsafe extern "C" fn(User, c_int, c_int, c_int, *mut libc::epoll_event) -> c_int,
    epoll_wait: unsafe extern "C" fn(User, c_int, *mut libc::epoll_event, c_int, c_int) -> c_int,
    pipe: *const c_void,
    splice: *const c_void,
}

/// One stack, by its interface. What fails answers its `errno`.
pub(crate) struct Stack(Interface);

// SAFETY: the interface is made to be called from two threads; its pointers are a name and functions.
unsafe impl Send for Stack {}
// SAFETY: the same.
unsafe impl Sync for Stack {}

pub(crate) type Answer = Result<usize, c_int>;

impl Stack {
    pub(crate) fn new(flags: &str) -> Self {
        type Init = unsafe extern "C" fn(*const c_char, *mut Interface);
        let init = symbol(c"packetdrill_interface_init");
        // SAFETY: the type that the symbol has in packetdrill.h.
        let init = unsafe { std::mem::transmute::<*mut c_void, Init>(init) };
        let flags = CString::new(flags).unwrap();
        let mut interface = std::mem::MaybeUninit::uninit();
        // SAFETY: a string, and a structure of the right size.
        unsafe { init(flags.as_ptr(), interface.as_mut_ptr()) };
        // SAFETY: filled by the call.
        Self(unsafe { interface.assume_init() })
    }

    pub(crate) fn socket(&self, domain: c_int) -> c_int {
        int((self.0.socket)(self.0.userdata, domain, libc::SOCK_STREAM, libc::IPPROTO_TCP)).unwrap() as c_int
    }

    pub(crate) fn open(&self, domain: c_int, kind: c_int, protocol: c_int) -> Answer {
        int((self.0.socket)(self.0.userdata, domain, kind, protocol))
    }

    pub(crate) fn bind(&self, fd: c_int, address: &[u8]) -> Answer {
        // SAFETY: so many bytes.
        int(unsafe { (self.0.bind)(self.0.userdata, fd, address.as_ptr(), address.len() as u32) })
    }

    pub(crate) fn listen(&self, fd: c_int, backlog: c_int) -> Answer {
        int((self.0.listen)(self.0.userdata, fd, backlog))
    }

    /// The new descriptor, and the peer's address.
    pub(crate) fn accept(&self, fd: c_int) -> Result<(c_int, Vec<u8>), c_int> {
        let (mut address, mut len) = (vec![0; 128], 128);
        // SAFETY: room for 128 bytes.
        let answer = unsafe { (self.0.accept)(self.0.userdata, fd, address.as_mut_ptr(), &raw mut len) };
        address.truncate(len as usize);
        int(answer).map(|fd| (fd as c_int, address))
    }

    pub(crate) fn connect(&self, fd: c_int, address: &[u8]) -> Answer {
        // SAFETY: so many bytes.
        int(unsafe { (self.0.connect)(self.0.userdata, fd, address.as_ptr(), address.len() as u32) })
    }

    pub(crate) fn read(&self, fd: c_int, room: usize) -> Result<Vec<u8>, c_int> {
        let mut bytes = vec![0; room];
        // SAFETY: room for so many bytes.
        let count = long(unsafe { (self.0.read)(self.0.userdata, fd, bytes.as_mut_ptr(), room) })?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Into two buffers, of 3 bytes and of the rest; how they were filled.
    pub(crate) fn readv(&self, fd: c_int, room: usize) -> Result<[Vec<u8>; 2], c_int> {
        let mut buffers = [vec![0; 3], vec![0; room - 3]];
        let parts =
            buffers.each_mut().map(|part| libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() });
        // SAFETY: two buffers, each with its room.
        let count = long(unsafe { (self.0.readv)(self.0.userdata, fd, parts.as_ptr(), 2) })?;
        buffers[1].truncate(count.saturating_sub(3));
        Ok(buffers)
    }

    pub(crate) fn recv(&self, fd: c_int, room: usize, flags: c_int) -> Result<Vec<u8>, c_int> {
        let mut bytes = vec![0; room];
        // SAFETY: room for so many bytes.
        let count = long(unsafe { (self.0.recv)(self.0.userdata, fd, bytes.as_mut_ptr(), room, flags) })?;
        bytes.truncate(count);
        Ok(bytes)
    }

    pub(crate) fn write(&self, fd: c_int, bytes: &[u8]) -> Answer {
        // SAFETY: so many bytes.
        long(unsafe { (self.0.write)(self.0.userdata, fd, bytes.as_ptr(), bytes.len()) })
    }

    pub(crate) fn send(&self, fd: c_int, bytes: &[u8], flags: c_int) -> Answer {
        // SAFETY: so many bytes.
        long(unsafe { (self.0.send)(self.0.userdata, fd, bytes.as_ptr(), bytes.len(), flags) })
    }

    pub(crate) fn fcntl(&self, fd: c_int, command: c_int, argument: c_int) -> Answer {
        int((self.0.fcntl)(self.0.userdata, fd, command, argument.into()))
    }

    pub(crate) fn ioctl(&self, fd: c_int, request: u64) -> Answer {
        let mut number = 0;
        // SAFETY: an `int`.
        int(unsafe { (self.0.ioctl)(self.0.userdata, fd, request, &raw mut number) }).map(|_| number as usize)
    }

    pub(crate) fn close(&self, fd: c_int) -> Answer {
        int((self.0.close)(self.0.userdata, fd))
    }

    pub(crate) fn shutdown(&self, fd: c_int, how: c_int) -> Answer {
        int((self.0.shutdown)(self.0.userdata, fd, how))
    }

    pub(crate) fn set_option(&self, fd: c_int, level: c_int, name: c_int, value: &[u8]) -> Answer {
        // SAFETY: so many bytes.
        let set = unsafe { (self.0.setsockopt)(self.0.userdata, fd, level, name, value.as_ptr(), value.len() as u32) };
        int(set)
    }

    pub(crate) fn option(&self, fd: c_int, level: c_int, name: c_int) -> Result<Vec<u8>, c_int> {
        let (mut value, mut len) = (vec![0; 512], 512);
        let room = value.as_mut_ptr();
        // SAFETY: room for 512 bytes.
        int(unsafe { (self.0.getsockopt)(self.0.userdata, fd, level, name, room, &raw mut len) })?;
        value.truncate(len as usize);
        Ok(value)
    }

    /// The bits that hold.
    pub(crate) fn poll(&self, fd: c_int, events: c_short, timeout: c_int) -> c_short {
        let mut asked = libc::pollfd { fd, events, revents: 0 };
        // SAFETY: one entry.
        let ready = int(unsafe { (self.0.poll)(self.0.userdata, &raw mut asked, 1, timeout) });
        assert_eq!(ready, Ok(usize::from(asked.revents != 0)));
        asked.revents
    }

    pub(crate) fn packet_in(&self, packet: &[u8]) {
        // SAFETY: so many bytes.
        let sent = int(unsafe { (self.0.netdev_send)(self.0.userdata, packet.as_ptr(), packet.len()) });
        assert_eq!(sent, Ok(0));
    }

    /// The next packet and the time at which it left, microseconds.
    pub(crate) fn packet_out(&self) -> Option<(Vec<u8>, i64)> {
        let (mut packet, mut count, mut micros) = (vec![0; 9000], 9000, 0);
        let room = packet.as_mut_ptr();
        // SAFETY: room for 9000 bytes.
        let got = unsafe { (self.0.netdev_receive)(self.0.userdata, room, &raw mut count, &raw mut micros) };
        assert_eq!(int(got), Ok(0));
        packet.truncate(count);
        (count > 0).then_some((packet, micros))
    }

    pub(crate) fn sleep(&self, micros: u32) {
        assert_eq!(int((self.0.usleep)(self.0.userdata, micros)), Ok(0));
    }

    /// Microseconds.
    pub(crate) fn now(&self) -> i64 {
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
        // SAFETY: a `timeval`.
        let told = unsafe { (self.0.gettimeofday)(self.0.userdata, &raw mut time, std::ptr::null_mut()) };
        assert_eq!(int(told), Ok(0));
        time.tv_sec * 1_000_000 + time.tv_usec
    }

    pub(crate) fn epoll(&self) -> c_int {
        int((self.0.epoll_create)(self.0.userdata, 1)).unwrap() as c_int
    }

    pub(crate) fn epoll_ctl(&self, epoll: c_int, operation: c_int, fd: c_int, events: c_int) -> Answer {
        let mut event = libc::epoll_event { events: events as u32, u64: fd as u64 };
        // SAFETY: an event.
        int(unsafe { (self.0.epoll_ctl)(self.0.userdata, epoll, operation, fd, &raw mut event) })
    }

    /// Bits and data of what is ready.
    pub(crate) fn epoll_wait(&self, epoll: c_int, timeout: c_int) -> Vec<(c_int, u64)> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
        // SAFETY: room for eight events.
        let count = unsafe { (self.0.epoll_wait)(self.0.userdata, epoll, events.as_mut_ptr(), 8, timeout) };
        let happened = events.iter().take(int(count).unwrap());
        happened.map(|event| (event.events as c_int, event.u64)).collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        (self.0.free)(self.0.userdata);
    }
}

/// `getsockopt` as the library has it in place of the C library's.
pub(crate) fn getsockopt(fd: c_int, level: c_int, name: c_int) -> Result<Vec<u8>, c_int> {
    type Function = unsafe extern "C" fn(c_int, c_int, c_int, Room, *mut u32) -> c_int;
    // SAFETY: the type of the C library's function.
    let function = unsafe { std::mem::transmute::<*mut c_void, Function>(symbol(c"getsockopt")) };
    let (mut value, mut len) = (vec![0; 512], 512);
    // SAFETY: room for 512 bytes.
    int(unsafe { function(fd, level, name, value.as_mut_ptr(), &raw mut len) })?;
    value.truncate(len as usize);
    Ok(value)
}

/// `close` as the library has it in place of the C library's.
pub(crate) fn close(fd: c_int) -> Answer {
    type Function = unsafe extern "C" fn(c_int) -> c_int;
    // SAFETY: the type of the C library's function.
    let function = unsafe { std::mem::transmute::<*mut c_void, Function>(symbol(c"close")) };
    // SAFETY: the descriptors of the tests are theirs.
    int(unsafe { function(fd) })
}

/// A symbol of the library, which cargo puts beside the test's own program, or one folder above.
fn symbol(name: &std::ffi::CStr) -> *mut c_void {
    static LIBRARY: OnceLock<usize> = OnceLock::new();
    let library = *LIBRARY.get_or_init(|| {
        let program = std::env::current_exe().unwrap();
        let folders = program.ancestors().skip(1).take(2);
        let path = folders.map(|folder| folder.join("libburstlane_packetdrill.so")).find(|path| path.exists()).unwrap();
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: a path; loading it runs nothing of ours.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null(), "{path:?} cannot be loaded");
        library.expose_provenance()
    });
    // SAFETY: a library that stays loaded, and a name.
    let symbol = unsafe { libc::dlsym(std::ptr::with_exposed_provenance_mut(library), name.as_ptr()) };
    assert!(!symbol.is_null(), "{name:?} is not in the library");
    symbol
}

fn int(answer: c_int) -> Answer {
    long(answer as isize)
}

fn long(answer: isize) -> Answer {
    usize::try_from(answer).map_err(|_| std::io::Error::last_os_error().raw_os_error().unwrap())
}
