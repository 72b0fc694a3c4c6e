"""The fair lock: first come, first served, and who waits too long has not waited at all."""

from __future__ import annotations

import threading

import pytest

from ccagent.store.lock import FairLock


def test_it_serves_in_the_order_of_asking() -> None:
    lock, served = FairLock(), []
    lock.acquire()
    threads = []
    for number in range(5):
        waiting = len(lock._waiting)

        def take(number: int = number) -> None:
            with lock:
                served.append(number)

        threads.append(threading.Thread(target=take))
        threads[-1].start()
        while len(lock._waiting) == waiting:
            pass

    lock.release()
    for thread in threads:
        thread.join()

    assert served == [0, 1, 2, 3, 4]


def test_who_waits_too_long_is_not_served_later() -> None:
    lock = FairLock()
    lock.acquire()

    assert not lock.acquire(0.01)

    lock.release()
    assert lock.acquire(0.01)
    lock.release()
    with pytest.raises(RuntimeError, match="not held"):
        lock.release()


def test_it_tells_who_waits() -> None:
    lock = FairLock()
    lock.acquire()
    waiter = threading.Thread(target=lock.acquire, name="late")
    waiter.start()
    while not lock.waiting:
        pass
    told = lock.waiting

    lock.release()
    waiter.join()

    assert told == ("late",)
    assert lock.waiting == ()
