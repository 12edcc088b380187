//! Epoll: sockets of interest, level- or edge-triggered, or once.

use std::collections::BTreeMap;

use crate::Answer;
use crate::descriptors::File;
use crate::stack::Stack;

/// An epoll instance.
#[derive(Default)]
pub(crate) struct Epoll {
    interests: BTreeMap<i32, Interest>,
}

#[derive(Clone, Copy)]
struct Interest {
    events: u32,
    data: u64,
    /// The edges that were told, and the bits that held then.
    told: Option<(u64, u32)>,
}

/// What is ready: its bits, and the value that was left with the interest.
pub(crate) type Happened = (u32, u64);

impl Stack {
    pub(crate) fn epoll_create(&mut self) -> Answer<i32> {
        self.descriptors.add(File::Epoll(Epoll::default()))
    }

    pub(crate) fn epoll_ctl(&mut self, epoll: i32, operation: i32, fd: i32, event: Option<Happened>) -> Answer<()> {
        self.descriptors.socket(fd)?;
        let interests = &mut self.descriptors.epoll(epoll)?.interests;
        let is_there = interests.contains_key(&fd);
        match operation {
            libc::EPOLL_CTL_ADD if is_there => return Err(libc::EEXIST),
            libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL if !is_there => return Err(libc::ENOENT),
            libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD => {
                let (events, data) = event.ok_or(libc::EFAULT)?;
                interests.insert(fd, Interest { events, data, told: None });
            }
            libc::EPOLL_CTL_DEL => {
                interests.remove(&fd);
            }
            _ => return Err(libc::EINVAL),
        }
        Ok(())
    }

    /// What is ready, at most so many; `EAGAIN` if nothing is.
    pub(crate) fn epoll_wait(&mut self, epoll: i32, events_max: usize) -> Answer<Vec<Happened>> {
        let interests: Vec<_> = self.descriptors.epoll(epoll)?.interests.iter().map(|(fd, i)| (*fd, *i)).collect();
        let mut happened = vec![];
        for (fd, mut interest) in interests {
            if happened.len() == events_max {
                break;
            }
            let Ok(ready) = self.readiness(fd) else {
                // It was closed.
                self.descriptors.epoll(epoll)?.interests.remove(&fd);
                continue;
            };
            let always = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
            let wanted = if interest.events & MODES == interest.events { 0 } else { interest.events | always };
            let bits = u32::from(ready as u16) & wanted;
            let edges = self.descriptors.socket(fd)?.edges;
            let is_edge = interest.told.is_none_or(|(before, held)| edges != before || bits & !held != 0);
            interest.told = Some((edges, bits));
            let is_told = bits != 0 && (is_edge || interest.events & libc::EPOLLET as u32 == 0);
            if is_told {
                happened.push((bits, interest.data));
                if interest.events & libc::EPOLLONESHOT as u32 != 0 {
                    interest.events &= MODES;
                }
            }
            self.descriptors.epoll(epoll)?.interests.insert(fd, interest);
        }
        if happened.is_empty() { Err(libc::EAGAIN) } else { Ok(happened) }
    }
}

/// What says how, not what.
const MODES: u32 = (libc::EPOLLET | libc::EPOLLONESHOT) as u32;
