use netpol_agent::kernel::*;
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    preflight()?;
    let mut l = load(LoadOptions::default())?;
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let (_t2, r2) = tokio::sync::mpsc::channel(8);
    tokio::spawn(VethWatcher::new(tx)?.run(r2));
    let end = tokio::time::sleep(std::time::Duration::from_secs(8));
    tokio::pin!(end);
    loop {
        tokio::select! {
          _ = &mut end => break,
          Some(c) = rx.recv() => { println!("{c:?}"); if let VethChange::Found{ifindex,name} = c { println!("{:?}", l.programs.attach(ifindex,&name)); } }
          _ = l.records.ready() => { l.records.drain(100, |b| println!("{} kind {} dir {} {:?}", b.len(), b[13], b[14], &b[16..])); }
        }
    }
    println!(
        "{}",
        std::fs::read_to_string("/proc/self/status")?
            .lines()
            .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"))
            .collect::<String>()
    );
    for c in netpol_common::Counter::ALL {
        println!("{c:?} {}", l.counters.read(c));
    }
    Ok(())
}
