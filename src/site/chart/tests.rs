//! Where bars lie, what stands at the axes, and that no text breaks out of the picture.

use askama::Template;
use proptest::prelude::*;

use super::*;

/// A page with nothing but a chart.
#[derive(Template)]
#[template(source = "{% include \"chart.html\" %}", ext = "html")]
struct Page {
    chart: Chart,
}

fn line(name: &str, values: &[i64]) -> ChartLine {
    ChartLine { name: Some(name.to_owned()), values: values.to_vec() }
}

fn chart(unit: Unit, length: i64, lines: Vec<ChartLine>) -> Chart {
    let bucket = |day| ChartBucket {
        name: format!("{day} Nov 2026"),
        short: format!("{day} Nov"),
        link: (day % 2 == 0).then(|| format!("/usage?day={day}&x")),
    };
    Chart::new(("cost", "Cost"), unit, (1..=length).map(bucket).collect(), lines)
}

#[test]
fn ticks_are_round_exact_and_reach_above_the_highest_day() {
    let ticks = |unit, value| {
        let chart = chart(unit, 2, vec![line("all", &[value])]);
        chart.ticks.into_iter().map(|tick| tick.text).collect::<Vec<_>>()
    };
    assert_eq!(ticks(Unit::Usd, 7_300_000_000), ["$0.00", "$2.00", "$4.00", "$6.00", "$8.00"]);
    assert_eq!(ticks(Unit::Usd, 12_345), ["$0.00", "$0.000005", "$0.00001", "$0.000015"]);
    assert_eq!(ticks(Unit::Tokens, 1), ["0", "1"]);
    assert_eq!(ticks(Unit::Tokens, 1_700_000), ["0", "500k", "1,000k", "1,500k", "2,000k"]);
    assert_eq!(ticks(Unit::Tokens, 12_000_000), ["0", "5M", "10M", "15M"]);
    assert_eq!(ticks(Unit::Tokens, 0), ["0", "1"]);
    assert_eq!(ticks(Unit::Tokens, i64::MAX).len(), 3);
}

#[test]
fn bars_of_a_day_stand_on_each_other_and_end_where_the_axis_says() {
    let chart = chart(Unit::Tokens, 2, vec![line("large", &[3, 2]), line("small", &[1, 0])]);
    let bars: Vec<_> =
        chart.bars.iter().map(|bar| (bar.class, bar.x.0, bar.y.0, bar.height.0)).collect();
    // Four steps of 1 in 160 pixels: each is 40 high. The axis is at 170. A bar has three quarters
    // of its half of the width.
    assert_eq!(
        bars,
        [("series-1", 625, 500, 1200), ("series-2", 625, 100, 400), ("series-1", 5625, 900, 800)]
    );
    assert_eq!(chart.ticks.last().map(|tick| (tick.y.0, tick.text.as_str())), Some((100, "4")));
    let names: Vec<_> = chart.legend.iter().map(|key| (key.class, key.name.as_str())).collect();
    assert_eq!(names, [("series-1", "large"), ("series-2", "small")]);
    assert_eq!(chart.hits[0].text, "1 Nov 2026: 4\nlarge: 3\nsmall: 1");
    assert_eq!(chart.hits[1].text, "2 Nov 2026: 2\nlarge: 2");
    assert_eq!(chart.rows[0].cells, ["3", "1"]);
    assert_eq!((chart.totals, chart.total), (vec!["5".into(), "1".into()], "6".into()));
}

#[test]
fn a_day_that_cost_next_to_nothing_is_still_seen_and_an_empty_one_is_not() {
    let chart = chart(Unit::Usd, 5, vec![line("all", &[1, 0, i64::MAX / 2, -5])]);
    let heights: Vec<_> = chart.bars.iter().map(|bar| bar.height.0).collect();
    assert_eq!((heights.len(), heights[0]), (2, 10));
    assert_eq!(chart.rows.len(), 2);
    assert_eq!(chart.rows[0].total, "$0.000000001");
}

#[test]
fn the_first_series_have_colours_and_the_rest_is_one() {
    let lines: Vec<ChartLine> =
        (1_i64..=9).rev().map(|size| line(&format!("model-{size}"), &[size])).collect();
    let nine = chart(Unit::Tokens, 1, lines.clone());
    let names: Vec<_> = nine.legend.iter().map(|key| key.name.as_str()).collect();
    let own = ["model-9", "model-8", "model-7", "model-6", "model-5", "model-4"];
    assert_eq!((&names[..6], names[6]), (&own[..], REST));
    assert_eq!((nine.totals[6].as_str(), nine.legend[6].class), ("6", "series-rest"));
    // Seven have a colour each, unless there is a rest already.
    let seven = chart(Unit::Tokens, 1, lines[..7].to_vec());
    assert_eq!(seven.legend.last().map(|key| key.name.as_str()), Some("model-3"));
    let rest = ChartLine { name: None, values: vec![100] };
    let with_rest = chart(Unit::Tokens, 1, [&lines[..7], std::slice::from_ref(&rest)].concat());
    assert_eq!((with_rest.legend.len(), with_rest.totals[6].as_str()), (7, "103"));
    let few = chart(Unit::Tokens, 1, vec![rest, lines[0].clone()]);
    let names: Vec<_> = few.legend.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["model-9", REST]);
}

#[test]
fn few_days_are_written_below_the_axis_however_many_there_are() {
    for (last, wanted) in [(1, 1), (6, 6), (7, 4), (30, 6)] {
        let chart = chart(Unit::Usd, last, vec![]);
        assert_eq!(chart.labels.len(), wanted, "{last}");
        assert_eq!(chart.labels[0].text, "1 Nov");
    }
}

#[test]
fn the_picture_has_words_a_table_and_no_style_of_its_own() {
    let hostile = "<script>alert(1)</script>\"'";
    let mut values = [0; 30];
    values[21] = 5;
    let chart = chart(Unit::Usd, 30, vec![line(hostile, &values), line("b", &values)]);
    let page = Page { chart }.render().unwrap();
    assert!(page.contains("role=\"img\" aria-labelledby=\"cost-title cost-desc\""), "{page}");
    assert!(page.contains("<title id=\"cost-title\">Cost</title>"), "{page}");
    assert!(page.contains("<a href=\"/usage?day=22&#38;x\">22 Nov 2026</a>"), "{page}");
    assert!(page.contains("$0.000000005"), "{page}");
    assert!(!page.contains("<script") && !page.contains("style="), "{page}");
    assert!(page.contains("&#60;script&#62;"), "{page}");
    let empty = self::chart(Unit::Usd, 30, vec![]);
    let page = Page { chart: empty }.render().unwrap();
    assert!(!page.contains("<svg") && page.contains("No usage"), "{page}");
}

proptest! {
    #[test]
    fn every_bar_lies_within_the_picture(
        values in prop::collection::vec(prop::collection::vec(any::<i64>(), 0..40), 0..12),
        length in 1_i64..100,
    ) {
        let lines = values.iter().map(|values| line("x", values));
        let chart = chart(Unit::Usd, length, lines.collect());
        for bar in &chart.bars {
            prop_assert!(bar.x.0 >= 0 && bar.x.0 + bar.width.0 <= WIDTH);
            prop_assert!(bar.y.0 >= TOP && bar.height.0 > 0 && bar.width.0 > 0);
            prop_assert!(bar.y.0 + bar.height.0 <= TOP + HEIGHT);
        }
        let days = usize::try_from(length).unwrap();
        let is_any = values.iter().any(|values| values.iter().take(days).any(|value| *value > 0));
        prop_assert_eq!(chart.is_empty(), !is_any);
    }
}
