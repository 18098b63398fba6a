//! Results for people: one measurement as a block, a suite as a Markdown table.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};

use crate::stats::{Latency, Measured, ratio};

/// One measurement.
pub(crate) fn block(measured: &Measured) -> String {
    let Latency { p50, p90, p99, p999, max } = measured.latency;
    let mut text = format!(
        "{} {}, {} connections, {:.1} s\n",
        measured.protocol,
        measured.operation,
        measured.connections,
        measured.elapsed.as_secs_f64()
    );
    let mut line = |name: &str, value: String| {
        let _infallible = writeln!(text, "  {name:<16}{value}");
    };
    line("requests/s", format!("{:.0}", measured.rate()));
    line(
        "latency",
        format!("p50 {}   p90 {}   p99 {}   p99.9 {}   max {}", time(p50), time(p90), time(p99), time(p999), time(max)),
    );
    line("bytes", format!("{:.0} a request, {:.0} an answer", measured.request_bytes, measured.answer_bytes));
    let server = measured.server_cpu_us().map_or_else(|| "unknown".to_owned(), |cpu| format!("{cpu:.1} µs"));
    line("CPU a request", format!("client {:.1} µs, server {server}", measured.client_cpu_us()));
    if let Some(rss) = measured.server_rss {
        line("server memory", format!("{:.1} MiB", rss as f64 / f64::from(1 << 20)));
    }
    line("errors", measured.failed().to_string());
    for (kind, count) in &measured.errors {
        line("", format!("{count} x {kind}"));
    }
    text
}

/// A result beside its limits, which were measured right after it.
pub(crate) struct Row {
    pub(crate) measured: Measured,
    pub(crate) limits: Vec<Measured>,
}

impl Row {
    /// The part of a limit's rate that was reached, by items.
    fn share(&self, limit: &Measured) -> f64 {
        let items = |measured: &Measured| measured.rate() * measured.items as f64;
        // The module is called once for each item; everything else is asked once for each message.
        match limit.protocol {
            "pkcs11" => ratio(items(&self.measured), items(limit)),
            _ => ratio(self.measured.rate(), limit.rate()),
        }
    }

    /// The row for programs.
    pub(crate) fn json(&self) -> Value {
        let limits = self
            .limits
            .iter()
            .map(|limit| (limit.protocol.to_owned(), json!({ "measured": limit.json(), "share": self.share(limit) })));
        json!({ "measured": self.measured.json(), "limits": limits.collect::<serde_json::Map<_, _>>() })
    }

    /// The row for people.
    pub(crate) fn markdown(&self) -> String {
        let Self { measured, limits } = self;
        let cpu =
            |measured: &Measured| measured.server_cpu_us().map_or_else(|| "–".to_owned(), |cpu| format!("{cpu:.1}"));
        let limits = limits.iter().map(|limit| {
            let share = self.share(limit);
            format!("{} {:.0}/s, {} µs: **{share:.3}**", limit.protocol, limit.rate(), cpu(limit))
        });
        format!(
            "| {} {} | {} | {:.0} / {:.0} | {:.0} | {} | {} | {} | {} | {} |",
            measured.protocol,
            measured.operation,
            measured.connections,
            measured.request_bytes,
            measured.answer_bytes,
            measured.rate(),
            time(measured.latency.p50),
            time(measured.latency.p99),
            cpu(measured),
            limits.collect::<Vec<_>>().join("; "),
            measured.failed(),
        )
    }
}

/// What stands above the rows.
pub(crate) const HEAD: &str = "\
| operation | connections | bytes out / in | requests/s | p50 | p99 | server CPU µs | limits, their CPU: ratio | errors |
|---|--:|--:|--:|--:|--:|--:|---|--:|";

/// Three digits or so, in the unit that fits.
fn time(time: Duration) -> String {
    let microseconds = time.as_secs_f64() * 1e6;
    match microseconds {
        short if short < 999.5 => format!("{short:.0} µs"),
        middle if middle < 99_950.0 => format!("{:.1} ms", middle / 1e3),
        long if long < 999_500.0 => format!("{:.0} ms", long / 1e3),
        longest => format!("{:.2} s", longest / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(completed: u64) -> Measured {
        Measured {
            protocol: "kmip",
            operation: "get",
            connections: 16,
            in_flight: 1,
            items: 1,
            elapsed: Duration::from_secs(2),
            completed,
            latency: Latency {
                p50: Duration::from_micros(850),
                p90: Duration::from_millis(3),
                p99: Duration::from_millis(12),
                p999: Duration::from_millis(40),
                max: Duration::from_secs(2),
            },
            request_bytes: 168.2,
            answer_bytes: 431.9,
            server_cpu: Some(Duration::from_secs(1)),
            errors: [("HTTP 503: busy".to_owned(), 3)].into(),
            ..Measured::default()
        }
    }

    #[test]
    fn a_row_has_as_many_cells_as_the_head() {
        let limit = |protocol, completed| Measured { protocol, ..measured(completed) };
        let row = Row { measured: measured(10_000), limits: vec![limit("echo", 40_000)] };
        let text = row.markdown();
        let cells = |line: &str| line.matches('|').count();
        assert!(HEAD.lines().all(|line| cells(line) == cells(&text)), "{text}");
        let expected =
            "| kmip get | 16 | 168 / 432 | 5000 | 850 µs | 12.0 ms | 100.0 | echo 20000/s, 25.0 µs: **0.250** | 3 |";
        assert_eq!(text, expected);
        assert_eq!(row.json()["limits"]["echo"]["share"].as_f64(), Some(0.25));
    }

    #[test]
    fn a_batch_counts_by_its_items_where_the_limit_has_none() {
        let limit = Measured { protocol: "pkcs11", ..measured(40_000) };
        let echo = Measured { protocol: "echo", ..measured(10_000) };
        let batch = Measured { items: 100, ..measured(100) };
        let row = Row { measured: batch, limits: vec![limit, echo] };
        let shares = ["pkcs11", "echo"].map(|name| row.json()["limits"][name]["share"].as_f64());
        assert_eq!(shares, [Some(0.25), Some(0.01)]);
    }

    #[test]
    fn a_block_names_every_kind_of_error() {
        let text = block(&measured(10_000));
        for part in ["requests/s      5000", "p90 3.0 ms", "server 100.0 µs", "errors          3", "3 x HTTP 503: busy"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        let shown = [0, 999, 1_000, 99_900, 100_000, 999_000, 1_500_000].map(|us| time(Duration::from_micros(us)));
        assert_eq!(shown, ["0 µs", "999 µs", "1.0 ms", "99.9 ms", "100 ms", "999 ms", "1.50 s"]);
    }
}
