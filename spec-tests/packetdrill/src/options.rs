//! Socket options: [`Options`], what was set on a socket, and the calls that set and read them. What is set before there is a
//! connection holds for the one to come, and for all that a listener takes.

use burstlane::socket::Stream;
use burstlane::time::Duration;
use burstlane_tcp::{KeepAlive, Tcp, TcpSocket};

use crate::Answer;
use crate::descriptors::{Role, Socket};
use crate::stack::Stack;
use crate::sysctl::controller_name;
use crate::tcp_info;

/// What was set; `None` is as the configuration says.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) reuse_address: bool,
    reuse_port: bool,
    pub(crate) receive_timeout: Option<Duration>,
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) cork: bool,
    /// The last write said that more follows.
    pub(crate) has_more: bool,
    no_delay: Option<bool>,
    keeps_alive: bool,
    keep_alive: KeepAlive,
    linger: Option<Duration>,
    send_buffer: Option<u32>,
    receive_buffer: Option<u32>,
    user_timeout: Option<Duration>,
    mss: Option<u16>,
    unsent_max: Option<u32>,
    congestion: Option<String>,
    /// The whole byte: DSCP and ECN.
    traffic_class: Option<u8>,
}

impl Options {
    /// Nothing was set; `keep_alive` is what holds for a socket that only says that it keeps its connection alive.
    pub(crate) fn new(keep_alive: KeepAlive) -> Self {
        Self { keep_alive, ..Self::default() }
    }

    /// A connection begins: all that was set holds for it.
    pub(crate) fn apply(&self, stream: &Stream<Tcp>) {
        let Self { no_delay, linger, send_buffer, receive_buffer, user_timeout, mss, unsent_max, .. } = *self;
        no_delay.iter().for_each(|on| stream.set_no_delay(*on));
        if linger.is_some() {
            stream.set_linger(linger);
        }
        if user_timeout.is_some() {
            stream.set_user_timeout(user_timeout);
        }
        if self.cork {
            stream.set_cork(true);
        }
        if self.keeps_alive {
            stream.set_keep_alive(Some(self.keep_alive));
        }
        send_buffer.iter().for_each(|bytes| stream.set_send_buffer(*bytes));
        receive_buffer.iter().for_each(|bytes| stream.set_receive_buffer(*bytes));
        mss.iter().for_each(|bytes| stream.set_mss(*bytes));
        let unsent_max = unsent_max.map(|bytes| if bytes == 0 { u32::MAX } else { bytes });
        unsent_max.iter().for_each(|bytes| stream.set_unsent_max(*bytes));
        self.traffic_class.iter().for_each(|class| stream.set_dscp(class >> 2));
        // Its name was looked up when it was set.
        let _ = self.congestion.as_ref().map(|name| stream.set_congestion(name));
    }
}

impl Stack {
    pub(crate) fn setsockopt(&mut self, fd: i32, level: i32, name: i32, value: &[u8]) -> Answer<()> {
        let socket = self.descriptors.socket(fd)?;
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                let (on, seconds) = (int(value)?, int(value.get(4..).unwrap_or_default())?);
                let time = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
                socket.options.linger = (on != 0).then_some(time);
                if let Some(stream) = socket.stream() {
                    stream.set_linger(socket.options.linger);
                }
                Ok(())
            }
            (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => {
                socket.options.receive_timeout = timeout(value)?;
                Ok(())
            }
            (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => {
                socket.options.send_timeout = timeout(value)?;
                Ok(())
            }
            (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => set_congestion(socket, value),
            (libc::SOL_SOCKET, _) => set_socket_level(socket, name, int(value)?),
            (libc::IPPROTO_TCP, _) => set_tcp_level(socket, name, int(value)?),
            (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                socket.options.traffic_class = Some(int(value)? as u8);
                chosen(socket);
                Ok(())
            }
            // IPv4 comes to a socket of IPv6 in any case.
            (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) if int(value)? == 0 => Ok(()),
            _ => Err(libc::ENOPROTOOPT),
        }
    }

    /// The bytes of an option.
    pub(crate) fn getsockopt(&mut self, fd: i32, level: i32, name: i32) -> Answer<Vec<u8>> {
        let socket = self.descriptors.socket(fd)?;
        let number = match level {
            libc::SOL_SOCKET => match name {
                libc::SO_LINGER => return Ok(linger(socket)),
                libc::SO_RCVTIMEO => return Ok(time_bytes(socket.options.receive_timeout)),
                libc::SO_SNDTIMEO => return Ok(time_bytes(socket.options.send_timeout)),
                SO_MEMINFO => return Ok(memory(socket)),
                _ => socket_level(socket, name)?,
            },
            libc::IPPROTO_TCP => match name {
                libc::TCP_INFO => return Ok(tcp_info::bytes(socket)),
                // Controllers tell nothing of themselves.
                libc::TCP_CC_INFO => return Ok(vec![]),
                libc::TCP_CONGESTION => return Ok(congestion(socket)),
                _ => tcp_level(socket, name)?,
            },
            libc::IPPROTO_IP if name == libc::IP_TOS => socket.options.traffic_class.unwrap_or(0).into(),
            libc::IPPROTO_IPV6 if name == libc::IPV6_TCLASS => socket.options.traffic_class.unwrap_or(0).into(),
            _ => return Err(libc::ENOPROTOOPT),
        };
        Ok(number.to_ne_bytes().to_vec())
    }
}

fn set_socket_level(socket: &mut Socket, name: i32, value: i32) -> Answer<()> {
    let options = &mut socket.options;
    let bytes = u32::try_from(value).unwrap_or(0);
    match name {
        libc::SO_REUSEADDR => options.reuse_address = value != 0,
        libc::SO_REUSEPORT => options.reuse_port = value != 0,
        libc::SO_KEEPALIVE => {
            options.keeps_alive = value != 0;
            let keep_alive = options.keeps_alive.then_some(options.keep_alive);
            if let Some(stream) = socket.stream() {
                stream.set_keep_alive(keep_alive);
            }
        }
        libc::SO_SNDBUF | libc::SO_SNDBUFFORCE => options.send_buffer = Some(bytes),
        libc::SO_RCVBUF | libc::SO_RCVBUFFORCE => options.receive_buffer = Some(bytes),
        _ => return Err(libc::ENOPROTOOPT),
    }
    if matches!(name, libc::SO_SNDBUF | libc::SO_SNDBUFFORCE | libc::SO_RCVBUF | libc::SO_RCVBUFFORCE) {
        chosen(socket);
    }
    Ok(())
}

fn set_tcp_level(socket: &mut Socket, name: i32, value: i32) -> Answer<()> {
    let options = &mut socket.options;
    if name == libc::TCP_NOTSENT_LOWAT {
        // All ones, and zero, are no limit.
        options.unsent_max = Some(value as u32);
        chosen(socket);
        return Ok(());
    }
    let count = u64::try_from(value).map_err(|_| libc::EINVAL)?;
    let keep_alive = &mut options.keep_alive;
    match name {
        libc::TCP_NODELAY => options.no_delay = Some(value != 0),
        libc::TCP_CORK => {
            options.cork = value != 0;
            if let Some(stream) = socket.stream() {
                stream.set_cork(value != 0);
            }
            return Ok(());
        }
        libc::TCP_QUICKACK => {
            if let Some(stream) = socket.stream() {
                stream.set_quick_ack(if value != 0 { u32::MAX } else { 0 });
            }
            return Ok(());
        }
        libc::TCP_KEEPIDLE => keep_alive.idle = Duration::from_secs(count),
        libc::TCP_KEEPINTVL => keep_alive.interval = Duration::from_secs(count),
        libc::TCP_KEEPCNT => keep_alive.probes = u8::try_from(value).map_err(|_| libc::EINVAL)?,
        libc::TCP_USER_TIMEOUT => options.user_timeout = (count > 0).then(|| Duration::from_millis(count)),
        libc::TCP_MAXSEG => options.mss = Some(u16::try_from(value).map_err(|_| libc::EINVAL)?),
        _ => return Err(libc::ENOPROTOOPT),
    }
    chosen(socket);
    Ok(())
}

/// What was set holds for the connection, if there is one.
fn chosen(socket: &Socket) {
    if let Some(stream) = socket.stream() {
        socket.options.apply(stream);
    }
}

fn set_congestion(socket: &mut Socket, value: &[u8]) -> Answer<()> {
    let name: String = value.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
    let name = controller_name(&name).to_owned();
    burstlane::congestion::by_name(&name).ok_or(libc::ENOENT)?;
    // Only what changes begins anew.
    if let Some(stream) = socket.stream() {
        stream.set_congestion(&name).map_err(|_| libc::ENOENT)?;
    }
    socket.options.congestion = Some(name);
    Ok(())
}

fn socket_level(socket: &mut Socket, name: i32) -> Answer<i32> {
    let settings = socket.stream().and_then(TcpSocket::settings);
    Ok(match name {
        libc::SO_ERROR => socket.take_error().unwrap_or(0),
        libc::SO_TYPE => libc::SOCK_STREAM,
        libc::SO_DOMAIN => socket.family.number(),
        libc::SO_PROTOCOL => libc::IPPROTO_TCP,
        libc::SO_ACCEPTCONN => matches!(socket.role, Role::Listening(_)).into(),
        libc::SO_REUSEADDR => socket.options.reuse_address.into(),
        libc::SO_REUSEPORT => socket.options.reuse_port.into(),
        libc::SO_KEEPALIVE => socket.options.keeps_alive.into(),
        // Linux says twice what was asked for.
        libc::SO_SNDBUF => settings.map(|s| s.send_buffer_bytes).or(socket.options.send_buffer).unwrap_or(0) as i32 * 2,
        libc::SO_RCVBUF => {
            settings.map(|s| s.receive_buffer_bytes).or(socket.options.receive_buffer).unwrap_or(0) as i32 * 2
        }
        _ => return Err(libc::ENOPROTOOPT),
    })
}

fn tcp_level(socket: &Socket, name: i32) -> Answer<i32> {
    let settings = socket.stream().and_then(TcpSocket::settings);
    let options = &socket.options;
    Ok(match name {
        libc::TCP_NODELAY => options.no_delay.unwrap_or(false).into(),
        libc::TCP_CORK => options.cork.into(),
        libc::TCP_QUICKACK => settings.is_some_and(|settings| settings.quick_acks > 0).into(),
        libc::TCP_KEEPIDLE => options.keep_alive.idle.as_secs() as i32,
        libc::TCP_KEEPINTVL => options.keep_alive.interval.as_secs() as i32,
        libc::TCP_KEEPCNT => options.keep_alive.probes.into(),
        libc::TCP_USER_TIMEOUT => options.user_timeout.map_or(0, |time| time.as_millis() as i32),
        libc::TCP_MAXSEG => {
            let info = socket.stream().and_then(TcpSocket::info);
            info.map(|info| info.mss).or(options.mss).unwrap_or(MSS_DEFAULT).into()
        }
        libc::TCP_NOTSENT_LOWAT => options.unsent_max.unwrap_or(0) as i32,
        _ => return Err(libc::ENOPROTOOPT),
    })
}

fn congestion(socket: &Socket) -> Vec<u8> {
    let settings = socket.stream().and_then(TcpSocket::settings);
    let name = settings.map(|settings| settings.congestion.to_owned()).or_else(|| socket.options.congestion.clone());
    let name = name.unwrap_or_else(|| "cubic".into());
    let mut bytes = if name == "newreno" { b"reno".to_vec() } else { name.into_bytes() };
    bytes.resize(CONGESTION_NAME_BYTES, 0);
    bytes
}

fn linger(socket: &Socket) -> Vec<u8> {
    let on = i32::from(socket.options.linger.is_some());
    let seconds = socket.options.linger.unwrap_or_default().as_secs() as i32;
    [on.to_ne_bytes(), seconds.to_ne_bytes()].concat()
}

/// `SK_MEMINFO_*`, of which only the sizes of the buffers and what is unsent are known.
fn memory(socket: &Socket) -> Vec<u8> {
    let stream = socket.stream();
    let settings = stream.and_then(TcpSocket::settings);
    let (send, receive) = settings.map_or((0, 0), |s| (s.send_buffer_bytes, s.receive_buffer_bytes));
    let unsent = stream.map_or(0, TcpSocket::unsent) as u32;
    [0, receive, 0, send, 0, unsent, 0, 0, 0].map(u32::to_ne_bytes).concat()
}

fn int(value: &[u8]) -> Answer<i32> {
    value.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)).ok_or(libc::EINVAL)
}

/// A `timeval`; zero waits without end.
fn timeout(value: &[u8]) -> Answer<Option<Duration>> {
    let long = |at: usize| {
        let bytes = value.get(at..).and_then(|rest| rest.first_chunk()).ok_or(libc::EINVAL)?;
        u64::try_from(i64::from_ne_bytes(*bytes)).map_err(|_| libc::EDOM)
    };
    let time = Duration::from_secs(long(0)?).saturating_add(Duration::from_micros(long(8)?));
    Ok(Some(time).filter(|time| !time.is_zero()))
}

fn time_bytes(time: Option<Duration>) -> Vec<u8> {
    let time = time.unwrap_or_default();
    [(time.as_secs() as i64).to_ne_bytes(), i64::from(time.subsec_micros()).to_ne_bytes()].concat()
}

/// Of `linux/socket.h`.
const SO_MEMINFO: i32 = 55;
/// `TCP_CA_NAME_MAX`.
const CONGESTION_NAME_BYTES: usize = 16;
const MSS_DEFAULT: u16 = 536;
