//! Smoke.
use restante_core::*;
use std::time::Duration;
#[tokio::test]
async fn sends_and_receives_in_order() {
    let m = Mailbox::<u32>::with(Mailbox::settings().capacity(4)).unwrap();
    let a = m.address();
    let mut r = m.receiver().unwrap();
    let h = tokio::spawn(async move {
        for i in 0..1000 {
            a.send(i).await.unwrap();
        }
    });
    for i in 0..1000 {
        assert_eq!(r.receive().await.unwrap(), i);
    }
    h.await.unwrap();
    assert_eq!(r.receive_timeout(Duration::from_millis(1), || 7).await.unwrap(), 7);
    assert_eq!(r.audit().lost(), 0);
    m.close();
    assert!(r.receive().await.is_err());
}
