//! How long the parts of the hot path take by the clock: `cargo bench --bench micro`.

#[path = "parts/main.rs"]
mod parts;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn all(criterion: &mut Criterion) {
    for part in parts::PARTS {
        let mut group = criterion.benchmark_group(part.name);
        group.throughput(Throughput::Elements(part.units));
        let mut work = (part.prepare)();
        group.bench_function(part.unit, |bencher| bencher.iter(&mut work));
        group.finish();
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
