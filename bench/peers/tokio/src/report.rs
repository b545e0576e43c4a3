//! What the program prints; the same as bench/support/figure.c.

use std::io::{stdout, Write};

pub struct Report {
    json: bool,
    further: bool,
}

impl Report {
    pub fn new(json: bool) -> Report {
        if json {
            print!("[");
        }
        Report { json, further: false }
    }

    pub fn figure(&mut self, name: &str, mut values: Vec<f64>) {
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let median = (values[(count - 1) / 2] + values[count / 2]) / 2.0;
        let (min, max) = (values[0], values[count - 1]);
        if self.json {
            let separator = if self.further { "," } else { "" };
            print!(
                "{separator}\n  {{\"name\": \"{name}\", \"median_ns\": {median:.2}, \
                 \"min_ns\": {min:.2}, \"max_ns\": {max:.2}}}"
            );
        } else {
            println!("{name} {median:.2} {min:.2} {max:.2}");
        }
        self.further = true;
        let _ = stdout().flush();
    }

    pub fn end(self) {
        if self.json {
            println!("\n]");
        }
    }
}
