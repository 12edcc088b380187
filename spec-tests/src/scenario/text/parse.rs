//! Reading a scenario, line by line.

use std::str::FromStr;
use std::time::Duration;

use super::units::{DURATION, duration};
use super::words::Words;
use super::{ScenarioError, link};
use crate::scenario::{
    BYTES_MAX, Device, Fault, FlowPlan, Mishap, Op, Reader, Scenario, Side, SidePlan, Span, Trouble,
};

type Result<T> = std::result::Result<T, ScenarioError>;

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self> {
        let mut lines = text.lines().enumerate().map(|(i, line)| Words::new(i + 1, line));
        let mut header = lines.find(|words| words.peek().is_some()).unwrap_or(Words::new(1, ""));
        header.keyword("burstlane").and_then(|()| header.keyword("scenario")).map_err(|error| {
            let expected = "'burstlane scenario 1', the first line of a scenario".to_owned();
            ScenarioError { expected, ..error }
        })?;
        header.value("1, the version that this program reads", |version| (version == "1").then_some(()))?;
        header.end()?;
        let mut draft = Draft::new();
        lines.try_for_each(|words| draft.line(words))?;
        draft.finish(Words::new(text.lines().count() + 1, ""))
    }
}

/// A scenario of which not all lines are read.
struct Draft<'a> {
    scenario: Scenario,
    section: Section,
    /// Keywords that came: most come once.
    said: Vec<&'static str>,
    link_said: Vec<&'static str>,
    /// The last line about the link, to which a complaint about the whole of it points.
    link_words: Words<'a>,
    asked: Asked,
}

/// What the flows ask for so far, all together: a repetition takes few bytes to write.
#[derive(Default)]
struct Asked {
    ops: usize,
    bytes: u64,
}

impl Asked {
    /// Counts `count` operations more. `Err` is what was expected instead.
    fn add(&mut self, op: Op, count: usize) -> std::result::Result<(), &'static str> {
        self.ops += count;
        self.bytes += if let Op::Send { bytes } = op { u64::from(bytes) * count as u64 } else { 0 };
        match self {
            Self { ops: ..=OPS_MAX, bytes: ..=BYTES_MAX } => Ok(()),
            Self { ops: ..=OPS_MAX, .. } => Err("at most 268435456 bytes (256 MiB) sent in a scenario"),
            _ => Err("at most a million operations in a scenario"),
        }
    }
}

/// What `left` and `right` are about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Head,
    Flow,
    Faults,
}

impl<'a> Draft<'a> {
    fn new() -> Self {
        Self {
            scenario: Scenario::new("", 0),
            section: Section::Head,
            said: Vec::new(),
            link_said: Vec::new(),
            link_words: Words::new(1, ""),
            asked: Asked::default(),
        }
    }

    fn line(&mut self, mut words: Words<'a>) -> Result<()> {
        let start = words;
        let Some(first) = words.next() else { return Ok(()) };
        let keyword = HEAD.into_iter().find(|keyword| *keyword == first.text);
        match (keyword, first.text, self.section) {
            (Some(keyword), _, _) => {
                if keyword != "link" && self.said.contains(&keyword) {
                    return Err(start.unexpected(Some(first), "each keyword of the head once"));
                }
                self.said.push(keyword);
                self.head(&mut words, keyword, start)?;
            }
            (None, "flow", _) => {
                words.keyword("opens")?;
                let opens_ms = millis(&mut words)?;
                self.scenario.flows.push(FlowPlan { opens_ms, sides: Default::default() });
                self.section = Section::Flow;
            }
            (None, "faults", _) => self.section = Section::Faults,
            (None, _, Section::Head) => {
                return Err(start.unexpected(Some(first), &format!("{}, flow or faults", HEAD.join(", "))));
            }
            (None, _, Section::Flow) => {
                words = start;
                self.end_of_flow(&mut words)?;
            }
            (None, _, Section::Faults) => {
                words = start;
                self.scenario.faults.push(fault(&mut words)?);
            }
        }
        words.end()
    }

    fn head(&mut self, words: &mut Words<'a>, keyword: &str, line: Words<'a>) -> Result<()> {
        let scenario = &mut self.scenario;
        match keyword {
            "transport" => scenario.transport = words.name("the name of a transport")?,
            "planted" => scenario.planted = Some(words.name("the name of a planted bug")?),
            "seed" => scenario.seed = words.number("a number below 2^64")?,
            "family" => {
                scenario.is_v6 = words.value("v4 or v6", |word| match word {
                    "v4" => Some(false),
                    "v6" => Some(true),
                    _ => None,
                })?;
            }
            "device" => {
                scenario.device = words.value("plain, offloading or late", |word| match word {
                    "plain" => Some(Device::Plain),
                    "offloading" => Some(Device::Offloading),
                    "late" => Some(Device::Late),
                    _ => None,
                })?;
            }
            "lanes" => scenario.lanes = bounded(words, "how many lanes a host has, 1 to 16", 1..=LANES_MAX)?,
            _ => {
                self.link_words = line;
                link::parse(words, &mut scenario.link, &mut self.link_said)?;
            }
        }
        Ok(())
    }

    /// A line of one end of the flow that was opened last.
    fn end_of_flow(&mut self, words: &mut Words<'_>) -> Result<()> {
        let start = *words;
        let first = words.next();
        let Some(side) = first.and_then(|word| to_side(word.text)) else {
            return Err(start.unexpected(first, "left, right, flow or faults"));
        };
        let plan = side_plan(words, &mut self.asked)?;
        if let Some(op) = plan.behind_the_end() {
            let error = start.unexpected(first, "nothing behind close or abort, and nothing sent behind finish");
            return Err(ScenarioError { found: format!("'{op}' behind the end"), ..error });
        }
        if let Some(flow) = self.scenario.flows.last_mut() {
            let place = &mut flow.sides[side.index()];
            if *place != SidePlan::default() {
                return Err(start.unexpected(first, "one line for each end of a flow"));
            }
            *place = plan;
        }
        Ok(())
    }

    fn finish(self, end: Words<'_>) -> Result<Scenario> {
        for (keyword, expected) in [("transport", "a line 'transport NAME'"), ("seed", "a line 'seed NUMBER'")] {
            if !self.said.contains(&keyword) {
                let error = end.unexpected(None, expected);
                return Err(ScenarioError { found: "the end of the file".to_owned(), ..error });
            }
        }
        self.scenario.link.validate().map_err(|error| {
            let whole = self.link_words.peek();
            ScenarioError {
                found: "a link that cannot be".to_owned(),
                ..self.link_words.unexpected(whole, &error.to_string())
            }
        })?;
        Ok(self.scenario)
    }
}

/// `[reads ...;] op, op...`
fn side_plan(words: &mut Words<'_>, asked: &mut Asked) -> Result<SidePlan> {
    let mut plan = SidePlan::default();
    if words.skip("reads") {
        plan.reader = reader(words)?;
        if words.peek().is_none() {
            return Ok(plan);
        }
        words.keyword(";")?;
    }
    loop {
        let word = words.peek();
        let op = op(words)?;
        let count = if words.skip("x") {
            words.value("how many times, 1 to 100000", |word| {
                word.parse().ok().filter(|count| (1..=REPEAT_MAX).contains(count))
            })?
        } else {
            1
        };
        asked.add(op, count).map_err(|expected| words.unexpected(word, expected))?;
        plan.ops.extend(std::iter::repeat_n(op, count));
        if !words.skip(",") {
            return Ok(plan);
        }
    }
}

fn reader(words: &mut Words<'_>) -> Result<Reader> {
    if words.skip("at") {
        words.keyword("once")?;
        return Ok(Reader::Eager);
    }
    if words.skip("from") {
        return Ok(Reader::Late { from_ms: millis(words)? });
    }
    let bytes = bounded(words, "'at once', 'from TIME', or BYTES 'every' TIME", 1..=u32::MAX)?;
    words.keyword("every")?;
    let word = words.peek();
    match millis(words)? {
        0 => Err(words.unexpected(word, "a time above zero")),
        every_ms => Ok(Reader::Slow { bytes, every_ms }),
    }
}

fn op(words: &mut Words<'_>) -> Result<Op> {
    let word = words.next();
    Ok(match word.map_or("", |word| word.text) {
        "send" => Op::Send { bytes: bounded(words, "a number of bytes, 1 to 67108864", 1..=SEND_BYTES_MAX)? },
        "pause" => Op::Pause { ms: millis(words)? },
        "finish" => Op::Finish,
        "close" => Op::Close,
        "abort" => Op::Abort,
        _ => return Err(words.unexpected(word, "send, pause, finish, close or abort")),
    })
}

fn fault(words: &mut Words<'_>) -> Result<Fault> {
    let start = *words;
    let word = words.next();
    let text = word.map_or("", |word| word.text);
    if let Some(from) = to_side(text) {
        words.keyword("packet")?;
        let number = words.number("the number of a packet")?;
        return Ok(Fault::Packet { from, number, mishap: mishap(words)? });
    }
    if text == "clock" {
        let side = side(words)?;
        let parts_per_million = words.value("millionths, for example +200ppm", |word| {
            word.strip_suffix("ppm").and_then(|number| number.parse().ok())
        })?;
        return Ok(Fault::Clock { side, parts_per_million });
    }
    if duration(text).is_some() {
        *words = start;
        return at_once(words);
    }
    if !text.contains("..") {
        return Err(start.unexpected(word, "left, right, clock, a time, or a span of time such as 10ms..310ms"));
    }
    let span =
        to_span(text).ok_or_else(|| start.unexpected(word, "START..END in whole milliseconds, as 10ms..310ms"))?;
    Ok(Fault::Spell { span, trouble: trouble(words)? })
}

/// `20ms forged 5 to right`, `20ms rebind`
fn at_once(words: &mut Words<'_>) -> Result<Fault> {
    let at_ms = millis(words)?;
    let word = words.next();
    let is_flood = match word.map_or("", |word| word.text) {
        "rebind" => return Ok(Fault::Rebind { at_ms }),
        "forged" => false,
        "flood" => true,
        _ => return Err(words.unexpected(word, "forged, flood or rebind")),
    };
    let count = if is_flood {
        bounded(words, "how many packets, 1 to 100000", 1..=FLOOD_PACKETS_MAX)?
    } else {
        words.number("the number of a packet")?
    };
    words.keyword("to")?;
    let to = side(words)?;
    Ok(if is_flood { Fault::Flood { to, at_ms, packets: count } } else { Fault::Forged { to, at_ms, number: count } })
}

fn mishap(words: &mut Words<'_>) -> Result<Mishap> {
    let word = words.next();
    Ok(match word.map_or("", |word| word.text) {
        "drop" => Mishap::Drop,
        "duplicate" => {
            let copies = bounded(words, "how many copies, 1 to 3", 1..=3_u8)?;
            words.keyword("apart")?;
            Mishap::Duplicate { copies, apart_ms: millis(words)? }
        }
        "delay" => Mishap::Delay { by_ms: millis(words)? },
        "corrupt" => {
            words.keyword("bit")?;
            Mishap::Corrupt { bit: words.number("the number of a bit")? }
        }
        "truncate" => {
            words.keyword("to")?;
            Mishap::Truncate { bytes: words.number("a number of bytes")? }
        }
        "tamper" => {
            words.keyword("byte")?;
            let at = words.number("the number of a byte")?;
            words.keyword("to")?;
            Mishap::Tamper { at, value: words.number("a byte, 0 to 255")? }
        }
        _ => return Err(words.unexpected(word, "drop, duplicate, delay, corrupt, truncate or tamper")),
    })
}

fn trouble(words: &mut Words<'_>) -> Result<Trouble> {
    let word = words.next();
    Ok(match word.map_or("", |word| word.text) {
        "partition" if words.peek().is_none() => Trouble::Partition(None),
        "partition" => Trouble::Partition(Some(side(words)?)),
        "black-hole" => {
            let from = side(words)?;
            words.keyword("mtu")?;
            Trouble::BlackHole { from, mtu: words.number("a number of bytes")? }
        }
        "stall" => Trouble::Stall(side(words)?),
        "starve" => Trouble::Starve(side(words)?),
        _ => return Err(words.unexpected(word, "partition, black-hole, stall or starve")),
    })
}

fn side(words: &mut Words<'_>) -> Result<Side> {
    words.value("left or right", to_side)
}

fn to_side(word: &str) -> Option<Side> {
    match word {
        "left" => Some(Side::Left),
        "right" => Some(Side::Right),
        _ => None,
    }
}

fn to_span(word: &str) -> Option<Span> {
    let (from, to) = word.split_once("..")?;
    let (from_ms, to_ms) = (whole_millis(duration(from)?)?, whole_millis(duration(to)?)?);
    Some(Span { from_ms, ms: to_ms.checked_sub(from_ms)? })
}

fn millis(words: &mut Words<'_>) -> Result<u32> {
    let word = words.peek();
    let time = words.value(DURATION, duration)?;
    whole_millis(time).ok_or_else(|| words.unexpected(word, "whole milliseconds, at most a day"))
}

/// A whole number within bounds.
fn bounded<T: std::str::FromStr + PartialOrd>(
    words: &mut Words<'_>,
    expected: &str,
    bounds: std::ops::RangeInclusive<T>,
) -> Result<T> {
    words.value(expected, |text| text.parse().ok().filter(|number| bounds.contains(number)))
}

fn whole_millis(time: Duration) -> Option<u32> {
    let ms = u32::try_from(time.as_millis()).ok().filter(|ms| *ms <= DAY_MS)?;
    time.subsec_nanos().is_multiple_of(1_000_000).then_some(ms)
}

/// Nothing takes longer: a run ends some days after.
const DAY_MS: u32 = 24 * 3600 * 1000;
/// Most of one operation.
const SEND_BYTES_MAX: u32 = 64 << 20;
/// Each stands in memory before the run.
const FLOOD_PACKETS_MAX: u32 = 100_000;

const HEAD: [&str; 7] = ["transport", "planted", "seed", "family", "device", "lanes", "link"];
/// More than any test needs; each has memory of its own.
const LANES_MAX: u16 = 16;
/// Most repetitions behind one `x`.
pub(super) const REPEAT_MAX: usize = 100_000;
/// Most operations in a file, repetitions counted: what a reader allocates is bounded, whatever the file says.
const OPS_MAX: usize = 1_000_000;
