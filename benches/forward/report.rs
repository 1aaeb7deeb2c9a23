//! Figures beside their bars, as a table for people and as JSON for programs.

use serde_json::{Value, json};

/// One figure, smaller is better unless its bar says otherwise.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    pub hub: f64,
    /// The same of nginx, where it does the same.
    pub nginx: Option<f64>,
    pub bar: Bar,
}

#[derive(Debug, Clone, Copy)]
pub enum Bar {
    None,
    AtMost(f64),
    AtLeast(f64),
    /// So many times nginx's.
    TimesNginx(f64),
}

impl Row {
    pub fn new(name: impl Into<String>, unit: &'static str, hub: f64, bar: Bar) -> Row {
        Row { name: name.into(), unit, hub, nginx: None, bar }
    }

    pub fn beside(self, nginx: Option<f64>) -> Row {
        Row { nginx, ..self }
    }

    fn ratio(&self) -> Option<f64> {
        self.nginx.filter(|nginx| *nginx > 0.0).map(|nginx| self.hub / nginx)
    }

    /// `None` where there is no bar, or nothing to hold it against.
    pub fn passes(&self) -> Option<bool> {
        match self.bar {
            Bar::None => None,
            Bar::AtMost(most) => Some(self.hub <= most),
            Bar::AtLeast(least) => Some(self.hub >= least),
            Bar::TimesNginx(times) => self.ratio().map(|ratio| ratio <= times),
        }
    }

    fn bar_text(&self) -> String {
        match self.bar {
            Bar::None => "-".into(),
            Bar::AtMost(most) => format!("<= {} {}", short(most), self.unit),
            Bar::AtLeast(least) => format!(">= {} {}", short(least), self.unit),
            Bar::TimesNginx(times) => format!("<= {times}x nginx"),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.passes() {
            Some(true) => "pass",
            Some(false) => "MISS",
            None => "",
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "hub": self.hub, "nginx": self.nginx, "ratio": self.ratio(),
            "bar": self.bar_text(), "pass": self.passes(),
        })
    }
}

pub fn print_table(rows: &[Row]) {
    println!("\n{:<48} {:>6} {:>10} {:>10} {:>7}  {:<18} result", "figure", "unit", "hub", "nginx", "ratio", "bar");
    for row in rows {
        let nginx = row.nginx.map_or("-".into(), short);
        let ratio = row.ratio().map_or("-".into(), |ratio| format!("{ratio:.2}"));
        let line = format!(
            "{:<48} {:>6} {:>10} {nginx:>10} {ratio:>7}  {:<18} {}",
            row.name,
            row.unit,
            short(row.hub),
            row.bar_text(),
            row.verdict()
        );
        println!("{}", line.trim_end());
    }
}

pub fn print_json(rows: &[Row]) {
    println!("{:#}", Value::from(rows.iter().map(Row::json).collect::<Vec<_>>()));
}

fn short(figure: f64) -> String {
    match figure {
        1000.0.. => format!("{figure:.0}"),
        100.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}
