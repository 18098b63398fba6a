//! Disks that are full: the store's refuses changes and serves reads, the trail's refuses whatever it would have to record, and
//! each goes on by itself once there is room.
//!
//! The store looks at what is free, so a file takes that away from it. That the trail's disk is full is what its writes are
//! told, by `shim/disk.c`.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::Instant,
};

use kmip_codec::spec::enums::ResultReason;
use portcullis_testing::{Failure, Gateway, Kmip, Rest, aes, create, material};
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::{PROGRAM, alone, disk::shim, is_ready, milliseconds, tail, until};

/// Taken away from the store, of which half is what it would have had too much.
const BALLAST_MIB: u64 = 512;

fn free_mib(folder: &Path) -> u64 {
    let space = statvfs(folder).unwrap();
    space.f_bavail.saturating_mul(space.f_frsize) >> 20
}

/// A creation through each protocol: what it was answered.
async fn attempts(rest: &Rest, kmip: &mut Kmip) -> (u16, Result<String, Failure>) {
    let stored = rest.store("symmetric", &[9; 32]).await.unwrap();
    (stored.status, kmip.make(create(aes())).await)
}

fn is_refused_for_now((status, made): &(u16, Result<String, Failure>)) -> bool {
    *status == 503 && matches!(made, Err(Failure::Refused(Some(ResultReason::SERVER_LIMIT_EXCEEDED), _)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_store_refuses_changes_only() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let free = free_mib(folder.path());
    if free < 4 * BALLAST_MIB {
        println!("skipped, because only {free} MiB are free for {}", folder.path().display());
        return;
    }
    let least = (free - BALLAST_MIB / 2).to_string();
    let settings = [("PORTCULLIS_STORE__FREE_MIB_MIN", least.as_str())];
    let mut gateway = Gateway::start_with(PROGRAM, &folder.path().join("gateway"), &settings);
    let mut rest = Rest::new(&gateway.rest(), "demo");
    let mut kmip = Kmip::connect(&gateway).await.unwrap();
    let kept = rest.store("symmetric", &[7; 32]).await.unwrap().reference("secret_ref");
    let made = kmip.make(create(aes())).await.unwrap();

    let ballast = folder.path().join("ballast");
    let file = File::create(&ballast).unwrap();
    if let Err(error) = fallocate(&file, FallocateFlags::empty(), 0, BALLAST_MIB << 20) {
        println!("skipped, because room cannot be taken away here: {error}");
        return;
    }
    // The space is looked at once a second.
    until("changes are refused", &gateway, async || is_refused_for_now(&attempts(&rest, &mut kmip).await)).await;
    let mut reads = 0;
    for restarted in [false, true] {
        if restarted {
            gateway.kill();
            gateway.restart();
            rest = Rest::new(&gateway.rest(), "demo");
            kmip = Kmip::connect(&gateway).await.unwrap();
        }
        for _ in 0..10 {
            assert_eq!(rest.payload(&kept).await.unwrap().body, [7; 32]);
            assert_eq!(material(kmip.get(&made).await.unwrap()).len(), 32);
            reads += 2;
        }
        let refused = attempts(&rest, &mut kmip).await;
        assert!(is_refused_for_now(&refused), "{refused:?}: {}", tail(&gateway.log()));
        assert_eq!(rest.delete(&kept).await.unwrap().status, 503);
        assert!(!is_ready(&gateway).await, "it takes no changes, and says so");
    }

    fs::remove_file(&ballast).unwrap();
    drop(file);
    let room = Instant::now();
    until("changes are taken again", &gateway, async || {
        let (status, made) = attempts(&rest, &mut kmip).await;
        status == 201 && made.is_ok()
    })
    .await;
    let back = room.elapsed();
    until("it is ready again", &gateway, async || is_ready(&gateway).await).await;
    assert_eq!(rest.delete(&kept).await.unwrap().status, 204);
    println!(
        "figures full store: creations and destructions refused with 503 and Server Limit Exceeded, {reads} reads meanwhile, 0 \
         failed, also after a restart; changes taken {} ms after there was room",
        milliseconds(back),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_trail_refuses_until_there_is_room() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let library = match shim(folder.path()) {
        Ok(library) => library,
        Err(why) => {
            println!("skipped, because {why}");
            return;
        }
    };
    let outer = fs::canonicalize(folder.path()).unwrap();
    let (dir, full) = (outer.join("gateway"), outer.join("full"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (library, at, list) = (text(&library), text(&dir), text(&full));
    let settings = [("LD_PRELOAD", library.as_str()), ("DISK_FOLDER", at.as_str()), ("DISK_FULL", list.as_str())];
    let mut gateway = Gateway::start_with(PROGRAM, &dir, &settings);
    let rest = Rest::new(&gateway.rest(), "demo");
    let mut kmip = Kmip::connect(&gateway).await.unwrap();
    let kept = rest.store("symmetric", &[7; 32]).await.unwrap().reference("secret_ref");

    fs::write(&full, text(&dir.join("audit"))).unwrap();
    let mut refused = 0;
    for _ in 0..5 {
        let (status, made) = attempts(&rest, &mut kmip).await;
        assert!(status == 503 && matches!(made, Err(Failure::Refused(..))), "{status} {made:?}");
        // What would go unrecorded is not given out.
        assert_eq!(rest.payload(&kept).await.unwrap().status, 503);
        refused += 3;
    }
    fs::remove_file(&full).unwrap();
    let room = Instant::now();
    until("it is recorded again", &gateway, async || {
        let (status, made) = attempts(&rest, &mut kmip).await;
        status == 201 && made.is_ok()
    })
    .await;
    let back = room.elapsed();
    assert_eq!(rest.payload(&kept).await.unwrap().body, [7; 32]);
    assert!(gateway.stop().success());
    let verified = Command::new(PROGRAM).args(["audit", "verify"]).arg(dir.join("audit")).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    println!(
        "figures full trail: {refused} requests refused while it was full, the chain holds, taken again after {} ms",
        milliseconds(back),
    );
}
