//! Parses Prometheus metrics.

/// The samples of a scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(Vec<(String, f64)>);

impl Samples {
    /// Parses Prometheus' text format, with or without HTTP headers in front. Lines that are not samples are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// The value of one series, by its name and labels as in the text. `None` if there is no such series.
    #[must_use]
    pub fn value(&self, series: &str) -> Option<f64> {
        self.0.iter().find(|(name, _)| name == series).map(|(_, value)| *value)
    }

    /// The sum over all series of a metric whose labels contain this text. 0 if there is no such series.
    #[must_use]
    pub fn sum(&self, metric: &str, labels: &str) -> f64 {
        let of_metric = self.0.iter().filter_map(|(series, value)| {
            let rest = series.strip_prefix(metric)?;
            ((rest.is_empty() || rest.starts_with('{')) && rest.contains(labels)).then_some(value)
        });
        of_metric.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples() {
        let text = "HTTP/1.1 200 OK\r\n\r\n# HELP a_total What.\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"2\"} 4\na 5\nab 6\n";
        let samples = Samples::parse(text);
        for (metric, labels, sum) in [
            ("a_total", "", 7.0),
            ("a_total", "x=\"1\"", 3.0),
            ("a_total", "x=\"3\"", 0.0),
            ("a", "", 5.0),
            ("c", "", 0.0),
        ] {
            assert_eq!(samples.sum(metric, labels), sum, "{metric} {labels}");
        }
        assert_eq!(samples.value("a_total{x=\"2\"}"), Some(4.0));
        assert_eq!(samples.value("a_total"), None);
    }
}
