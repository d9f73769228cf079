//! Metrics as Prometheus reads them.

use prometheus::{
    Encoder, TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use crate::domain::Times;

/// The media type of the text.
pub(super) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The name of a label, and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// Families of metrics, in the order in which they were added. A family without a metric is left out.
#[derive(Default)]
pub(super) struct Families(Vec<MetricFamily>);

/// A family that is being filled.
pub(super) struct Family<'a> {
    kind: MetricType,
    metrics: &'a mut Vec<Metric>,
}

impl Families {
    pub(super) fn counter(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, help, MetricType::COUNTER)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, help, MetricType::GAUGE)
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, help, MetricType::HISTOGRAM)
    }

    fn family(&mut self, name: &str, help: &str, kind: MetricType) -> Family<'_> {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        let place = self.0.len();
        self.0.push(family);
        let metrics = self.0[place].mut_metric();
        Family { kind, metrics }
    }

    /// The families as text.
    pub(super) fn text(self) -> prometheus::Result<String> {
        let filled: Vec<MetricFamily> = self
            .0
            .into_iter()
            .filter(|family| !family.get_metric().is_empty())
            .collect();
        let mut text = Vec::new();
        TextEncoder::new().encode(&filled, &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

impl Family<'_> {
    /// A value of a gauge.
    pub(super) fn value(&mut self, labels: &[Label<'_>], value: f64) {
        let mut metric = with(labels);
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
        self.metrics.push(metric);
    }

    /// A value of a counter, or of a gauge that counts.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
    pub(super) fn count(&mut self, labels: &[Label<'_>], count: u64) {
        match self.kind {
            MetricType::COUNTER => {
                let mut metric = with(labels);
                let mut counter = Counter::default();
                counter.set_value(count as f64);
                metric.set_counter(counter);
                self.metrics.push(metric);
            }
            _ => self.value(labels, count as f64),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "the bounds are short")]
    pub(super) fn times(&mut self, labels: &[Label<'_>], times: &Times) {
        let mut metric = with(labels);
        let mut histogram = Histogram::default();
        let mut below = 0;
        let mut buckets = Vec::new();
        for (bound, count) in times.spread.places() {
            below += count;
            // The text has a last bucket without a bound by itself.
            let Some(bound) = bound else { continue };
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(below);
            bucket.set_upper_bound(bound as f64 / 1_000.0);
            buckets.push(bucket);
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(below);
        histogram.set_sample_sum(times.total.as_secs_f64());
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }
}

fn with(labels: &[Label<'_>]) -> Metric {
    let label = |(name, value): &Label<'_>| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    };
    Metric::from_label(labels.iter().map(label).collect())
}
