//! Captures: [`FrameTap`], what a lane shows its frames to, and [`Capture`], which writes them as pcapng
//! (draft-ietf-opsawg-pcapng) for Wireshark and its kin: nanoseconds, direction, several interfaces, and a comment on
//! each packet where the lane has something to say about it.
//!
//! The file depends on nothing but what the lane did: no wall clock, no host name, one byte order. Two runs with one
//! seed write the same bytes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, BufWriter, Write};
use std::rc::Rc;
use std::time::Duration;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness, PcapError};

use crate::time::Instant;

/// Which way a frame crossed its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Received by us.
    In,
    /// Sent by us.
    Out,
}

/// Sees every frame that crosses a lane's interfaces, as the driver gives or takes it: a large frame that the device
/// cuts is one frame, its checksum unfinished. It runs in the lane's turn and must not block.
pub trait FrameTap {
    /// A frame, Ethernet header first, crossed interface `netif` at `now`. `comment` says what the lane knows about it.
    fn frame(&mut self, now: Instant, netif: u16, direction: Direction, bytes: &[u8], comment: Option<&str>);
}

impl<T: FrameTap + ?Sized> FrameTap for Box<T> {
    fn frame(&mut self, now: Instant, netif: u16, direction: Direction, bytes: &[u8], comment: Option<&str>) {
        (**self).frame(now, netif, direction, bytes, comment);
    }
}

/// A shared tap. A frame that comes while its other owner has it borrowed is not seen.
impl<T: FrameTap + ?Sized> FrameTap for Rc<RefCell<T>> {
    fn frame(&mut self, now: Instant, netif: u16, direction: Direction, bytes: &[u8], comment: Option<&str>) {
        if let Ok(mut tap) = self.try_borrow_mut() {
            tap.frame(now, netif, direction, bytes, comment);
        }
    }
}

/// Writes frames as pcapng. Output is buffered. An error of the writer ends the capture, not the lane:
/// [`finish`](Self::finish) reports it.
pub struct Capture<W: Write> {
    writer: PcapNgWriter<BufWriter<W>>,
    interfaces: u32,
    room_bytes: u64,
    frames: u64,
    left_out: u64,
    error: Option<io::Error>,
}

impl<W: Write> Capture<W> {
    /// Starts a file in `out`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W) -> io::Result<Self> {
        let section = SectionHeaderBlock {
            endianness: Endianness::Little,
            options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed("burstlane"))],
            ..SectionHeaderBlock::default()
        };
        let writer = PcapNgWriter::with_section_header(BufWriter::new(out), section).map_err(io_error)?;
        Ok(Self { writer, interfaces: 0, room_bytes: u64::MAX, frames: 0, left_out: 0, error: None })
    }

    /// Stops taking frames once about `bytes_max` bytes of them are written; later ones are counted only.
    #[must_use]
    pub fn with_limit(mut self, bytes_max: u64) -> Self {
        self.room_bytes = bytes_max;
        self
    }

    /// Declares the next interface and returns its number. As a [`FrameTap`] of one lane, declare the lane's interfaces
    /// in their order; those not declared are given the names `if0`, `if1`... when their first frame comes.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn add_interface(&mut self, name: &str) -> io::Result<u32> {
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: SNAP_BYTES,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(clip(name))),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        };
        self.writer.write_pcapng_block(block).map_err(io_error)?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// A tap for one of several lanes that share a file: its interface 0 is the capture's next one, named `names[0]`,
    /// and so on. Frames of interfaces that have no name are left out.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn tap(shared: &Rc<RefCell<Self>>, names: &[&str]) -> io::Result<LaneTap<W>> {
        let mut capture = shared.borrow_mut();
        let first = capture.interfaces;
        for name in names {
            capture.add_interface(name)?;
        }
        Ok(LaneTap { capture: Rc::clone(shared), first, interfaces: names.len() })
    }

    /// Frames written.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// Frames seen and not written: past the limit, or after an error.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Writes out what is buffered and returns the writer.
    ///
    /// # Errors
    /// The first error of the writer since the start; the file ends before the frame it concerned.
    pub fn finish(self) -> io::Result<W> {
        match self.error {
            Some(error) => Err(error),
            None => self.writer.into_inner().into_inner().map_err(io::IntoInnerError::into_error),
        }
    }

    fn write(&mut self, now: Instant, interface: u32, direction: Direction, bytes: &[u8], comment: Option<&str>) {
        if self.error.is_some() || self.room_bytes < bytes.len() as u64 {
            self.left_out += 1;
            return;
        }
        let kept = bytes.get(..SNAP_BYTES as usize).unwrap_or(bytes);
        let mut options = Vec::with_capacity(2);
        options.push(EnhancedPacketOption::Flags(match direction {
            Direction::In => INBOUND,
            Direction::Out => OUTBOUND,
        }));
        options.extend(comment.map(|text| EnhancedPacketOption::Comment(Cow::Borrowed(clip(text)))));
        let block = EnhancedPacketBlock {
            interface_id: interface,
            timestamp: Duration::from_nanos(now.as_nanos()),
            original_len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            data: Cow::Borrowed(kept),
            options,
        };
        match self.writer.write_pcapng_block(block) {
            Ok(_) => {
                self.frames += 1;
                self.room_bytes -= bytes.len() as u64;
            }
            Err(error) => {
                self.left_out += 1;
                self.error = Some(io_error(error));
            }
        }
    }
}

impl<W: Write> FrameTap for Capture<W> {
    fn frame(&mut self, now: Instant, netif: u16, direction: Direction, bytes: &[u8], comment: Option<&str>) {
        let interface = u32::from(netif);
        while self.error.is_none() && self.interfaces <= interface {
            let name = format!("if{}", self.interfaces);
            self.error = self.add_interface(&name).err();
        }
        self.write(now, interface, direction, bytes, comment);
    }
}

/// One lane's view of a shared [`Capture`].
pub struct LaneTap<W: Write> {
    capture: Rc<RefCell<Capture<W>>>,
    first: u32,
    interfaces: usize,
}

impl<W: Write> FrameTap for LaneTap<W> {
    fn frame(&mut self, now: Instant, netif: u16, direction: Direction, bytes: &[u8], comment: Option<&str>) {
        let Ok(mut capture) = self.capture.try_borrow_mut() else { return };
        if usize::from(netif) < self.interfaces {
            capture.write(now, self.first + u32::from(netif), direction, bytes, comment);
        } else {
            capture.left_out += 1;
        }
    }
}

/// At most [`TEXT_BYTES`] of `text`: pcapng counts an option's bytes in 16 bits.
fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES)).unwrap_or(text)
}

fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// Bytes of a frame that are kept. The largest IPv4 packet with its Ethernet header and VLAN tags fits, and so does the
/// largest frame that a device cuts for us. It is what Wireshark accepts at most.
const SNAP_BYTES: u32 = 262_144;
/// `if_tsresol`: timestamps count units of 10^-9 s.
const NANOSECONDS: u8 = 9;
/// `epb_flags`, bits 0 and 1.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;
/// Longest comment or name.
const TEXT_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_file::pcapng::{Block, PcapNgReader};
    use proptest::prelude::*;

    /// What a reader sees of one packet: interface, nanoseconds, bytes, flags, comment.
    type Row = (u32, u128, Vec<u8>, Option<u32>, Option<String>);

    fn read_back(file: &[u8]) -> (Vec<String>, Vec<Row>) {
        let mut reader = PcapNgReader::new(file).unwrap();
        let (mut names, mut rows) = (Vec::new(), Vec::new());
        while let Some(block) = reader.next_block() {
            match block.unwrap() {
                Block::InterfaceDescription(interface) => {
                    assert!(interface.options.contains(&InterfaceDescriptionOption::IfTsResol(9)));
                    names.extend(interface.options.iter().find_map(|o| match o {
                        InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
                        _ => None,
                    }));
                }
                Block::EnhancedPacket(packet) => rows.push((
                    packet.interface_id,
                    packet.timestamp.as_nanos(),
                    packet.data.to_vec(),
                    packet.options.iter().find_map(|o| match o {
                        EnhancedPacketOption::Flags(flags) => Some(*flags),
                        _ => None,
                    }),
                    packet.options.iter().find_map(|o| match o {
                        EnhancedPacketOption::Comment(text) => Some(text.to_string()),
                        _ => None,
                    }),
                )),
                other => panic!("a block nobody wrote: {other:?}"),
            }
        }
        (names, rows)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            frames in proptest::collection::vec(
                (0_u16..3, any::<u64>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200),
                 proptest::option::of("\\PC{0,40}")), 0..20)
        ) {
            let write = || {
                let mut capture = Capture::new(Vec::new()).unwrap();
                capture.add_interface("a").unwrap();
                for (netif, at, out, bytes, comment) in &frames {
                    let direction = if *out { Direction::Out } else { Direction::In };
                    capture.frame(Instant::from_nanos(*at), *netif, direction, bytes, comment.as_deref());
                }
                capture.finish().unwrap()
            };
            let file = write();
            prop_assert_eq!(&file, &write(), "the same frames, the same bytes");
            let (names, rows) = read_back(&file);
            let expected: Vec<Row> = frames.iter().map(|(netif, at, out, bytes, comment)| {
                (u32::from(*netif), u128::from(*at), bytes.clone(), Some(if *out { 2 } else { 1 }), comment.clone())
            }).collect();
            prop_assert_eq!(rows, expected);
            prop_assert!(["a", "if1", "if2"].starts_with(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        }
    }

    #[test]
    fn a_large_frame_is_kept_whole_and_a_long_comment_clipped() {
        let frame = vec![0xab; 65_535 + 14];
        let comment = "ä".repeat(40_000);
        let mut capture = Capture::new(Vec::new()).unwrap();
        capture.frame(Instant::ZERO, 0, Direction::Out, &frame, Some(&comment));
        let (_, rows) = read_back(&capture.finish().unwrap());
        assert_eq!(rows[0].2, frame);
        assert_eq!(rows[0].4.as_ref().unwrap().len(), TEXT_BYTES);
    }

    #[test]
    fn lanes_share_a_file_without_mixing_their_interfaces() {
        let shared = Rc::new(RefCell::new(Capture::new(Vec::new()).unwrap()));
        let mut client = Capture::tap(&shared, &["client"]).unwrap();
        let mut server = Capture::tap(&shared, &["server"]).unwrap();
        client.frame(Instant::ZERO, 0, Direction::Out, &[1], None);
        server.frame(Instant::ZERO, 0, Direction::In, &[1], None);
        server.frame(Instant::ZERO, 1, Direction::In, &[2], None);
        drop((client, server));
        let capture = Rc::into_inner(shared).unwrap().into_inner();
        assert_eq!((capture.frames(), capture.left_out()), (2, 1));
        let (names, rows) = read_back(&capture.finish().unwrap());
        assert_eq!(names, ["client", "server"]);
        assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_full_disk_ends_the_capture_and_is_reported_at_the_end() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut capture = Capture::new(Full(10_000)).unwrap();
        for _ in 0..100 {
            capture.frame(Instant::ZERO, 0, Direction::In, &[0; 1_000], None);
        }
        assert!(capture.frames() < 100 && capture.frames() + capture.left_out() == 100);
        assert_eq!(capture.finish().err().unwrap().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn past_its_limit_it_counts_and_writes_nothing() {
        let mut capture = Capture::new(Vec::new()).unwrap().with_limit(2_500);
        for _ in 0..4 {
            capture.frame(Instant::ZERO, 0, Direction::In, &[0; 1_000], None);
        }
        assert_eq!((capture.frames(), capture.left_out()), (2, 2));
    }
}
