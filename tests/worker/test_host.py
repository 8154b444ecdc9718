import threading

from perf.worker import host


def test_a_library_is_found_loaded_without_loading_it() -> None:
    assert host.is_loaded("libc.so.6")  # the next is a part of glibc that nobody loads
    assert not host.is_loaded("libBrokenLocale.so.1")
    assert not host.is_loaded("libBrokenLocale.so.1"), "asking had loaded it"


def test_a_host_with_a_second_thread_does_not_fork() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    reason = host.unfit_to_fork()
    stop.set()
    thread.join()
    assert "threads" in reason
