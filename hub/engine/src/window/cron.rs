//! Starts of windows, as cron writes them. In: five fields. Out: which minutes of which days they name. It must not know of
//! time zones: it works on the time that a clock on the wall shows.

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use serde::{Deserialize, Serialize};

/// So many days ahead the next start is looked for: a leap day comes within eight years.
const DAYS_MAX: u32 = 8 * 366 + 1;

/// `minute hour day-of-month month day-of-week`: `*`, numbers, names, ranges, lists and steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Neither of them is `*`: a day that either names counts, as in every cron.
    either_day: bool,
}

/// Text that is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotACron {
    /// More or fewer than five fields.
    #[error(
        "{0:?} has {1} fields; write five: minute hour day-of-month month day-of-week, as in \"0 9 * * 1-5\""
    )]
    Fields(String, usize),
    /// One field.
    #[error(
        "{text:?} is no {field} of a cron expression; write *, {least}-{most}, a range a-b, a list a,b or a step */n"
    )]
    Field {
        /// As written.
        text: String,
        /// Which one.
        field: &'static str,
        /// The lowest number.
        least: u32,
        /// The highest number.
        most: u32,
    },
    /// The month has no such day.
    #[error("{0:?} names no day that any of its months has, so it would never open")]
    Never(String),
}

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MINUTE: Field = Field {
    name: "minute",
    least: 0,
    most: 59,
    names: &[],
};
const HOUR: Field = Field {
    name: "hour",
    least: 0,
    most: 23,
    names: &[],
};
const DAY: Field = Field {
    name: "day of the month",
    least: 1,
    most: 31,
    names: &[],
};
const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
/// 7 is Sunday, too.
const WEEKDAY: Field = Field {
    name: "day of the week",
    least: 0,
    most: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};
/// The longest each month can be.
const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Field {
    fn wrong(&self, text: &str) -> NotACron {
        NotACron::Field {
            text: text.to_owned(),
            field: self.name,
            least: self.least,
            most: self.most,
        }
    }

    fn number(&self, text: &str) -> Option<u32> {
        let named = (self.least..)
            .zip(self.names)
            .find(|(_, name)| name.eq_ignore_ascii_case(text));
        if let Some((number, _)) = named {
            return Some(number);
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits)?;
        (self.least..=self.most).contains(&number).then_some(number)
    }

    fn read(&self, text: &str) -> Result<u64, NotACron> {
        let mut bits = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => {
                    let step = step.parse::<u32>().ok().filter(|step| *step > 0);
                    (range, step.ok_or_else(|| self.wrong(text))?)
                }
                None => (part, 1),
            };
            let stepped = part.contains('/');
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (Some(self.least), Some(self.most)),
                Some((first, last)) => (self.number(first), self.number(last)),
                None if stepped => (self.number(range), Some(self.most)),
                None => (self.number(range), self.number(range)),
            };
            let (Some(first), Some(last)) = (first, last) else {
                return Err(self.wrong(text));
            };
            if first > last {
                return Err(self.wrong(text));
            }
            let mut number = first;
            while number <= last {
                bits |= 1 << number;
                number = number.saturating_add(step);
            }
        }
        Ok(bits)
    }
}

fn has(bits: u64, number: u32) -> bool {
    bits & (1 << number) != 0
}

fn field(number: i8) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

impl std::str::FromStr for Cron {
    type Err = NotACron;

    fn from_str(text: &str) -> Result<Self, NotACron> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(NotACron::Fields(text.to_owned(), fields.len()));
        };
        let mut weekdays = WEEKDAY.read(weekday)?;
        if has(weekdays, 7) {
            weekdays |= 1;
        }
        let cron = Self {
            text: fields.join(" "),
            minutes: MINUTE.read(minute)?,
            hours: HOUR.read(hour)?,
            days: DAY.read(day)?,
            months: MONTH.read(month)?,
            weekdays,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        let possible = (1..).zip(LONGEST).any(|(month, longest)| {
            has(cron.months, month) && (1..=longest).any(|day| has(cron.days, day))
        });
        if possible || cron.either_day {
            Ok(cron)
        } else {
            Err(NotACron::Never(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Cron {
    type Error = NotACron;

    fn try_from(text: String) -> Result<Self, NotACron> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Cron {
    fn names_day(&self, date: Date) -> bool {
        let day = has(self.days, field(date.day()));
        let weekday = has(self.weekdays, field(date.weekday().to_sunday_zero_offset()));
        let either = if self.either_day {
            day || weekday
        } else {
            day && weekday
        };
        has(self.months, field(date.month())) && either
    }

    /// The newest start at or before this time of the wall, not older than so many days.
    #[must_use]
    pub fn latest(&self, at: DateTime, days: u32) -> Option<DateTime> {
        let mut date = at.date();
        let mut most = Some((field(at.hour()), field(at.minute())));
        for _ in 0..=days {
            if self.names_day(date)
                && let Some(time) = self.last_time(most)
            {
                return Some(date.to_datetime(time));
            }
            date = date.yesterday().ok()?;
            most = None;
        }
        None
    }

    /// The first start after this time of the wall; none: not within eight years.
    #[must_use]
    pub fn next(&self, after: DateTime) -> Option<DateTime> {
        let mut date = after.date();
        let mut least = Some((field(after.hour()), field(after.minute())));
        for _ in 0..DAYS_MAX {
            if self.names_day(date)
                && let Some(time) = self.first_time(least)
            {
                return Some(date.to_datetime(time));
            }
            date = date.tomorrow().ok()?;
            least = None;
        }
        None
    }

    /// The last start of a day, at or before `most`.
    fn last_time(&self, most: Option<(u32, u32)>) -> Option<Time> {
        let most = most.unwrap_or((23, 59));
        (0..=most.0)
            .rev()
            .filter(|hour| has(self.hours, *hour))
            .find_map(|hour| {
                let last = if hour == most.0 { most.1 } else { 59 };
                let minute = (0..=last).rev().find(|minute| has(self.minutes, *minute));
                minute.and_then(|minute| time(hour, minute))
            })
    }

    /// The first start of a day, after `least`.
    fn first_time(&self, least: Option<(u32, u32)>) -> Option<Time> {
        let hours = least.map_or(0, |least| least.0)..24;
        hours
            .filter(|hour| has(self.hours, *hour))
            .find_map(|hour| {
                let first = match least {
                    Some(least) if least.0 == hour => least.1 + 1,
                    Some(_) | None => 0,
                };
                let minute = (first..60).find(|minute| has(self.minutes, *minute));
                minute.and_then(|minute| time(hour, minute))
            })
    }
}

fn time(hour: u32, minute: u32) -> Option<Time> {
    Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()
}
