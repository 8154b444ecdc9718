"""Journals and endings of every kind, for property tests of what folds them."""

from hypothesis import strategies as st

from perf.schema import journal
from perf.schema.cell import TensorFile, TestSet
from perf.schema.journal import Event, Placement
from perf.schema.record import Ending, KilledFor

COUNTS = st.integers(0, 1 << 40)
WORDS = st.text(max_size=12)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ANY_FLOAT = st.floats()
STAGES = st.sampled_from(list(journal.Stage))
TABLES = st.dictionaries(WORDS, COUNTS, max_size=3)
FILES = st.builds(TensorFile, WORDS, WORDS, COUNTS, st.tuples(COUNTS, COUNTS))
SETS = st.lists(st.builds(TestSet, WORDS, st.tuples(FILES), st.tuples(FILES)), max_size=2).map(
    tuple
)
OPTIONAL = st.none() | FLOATS

EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(journal.Began, STAGES, FLOATS),
    st.builds(journal.WorkerStarted, COUNTS, WORDS, FLOATS),
    st.builds(journal.Versions, st.dictionaries(WORDS, WORDS, max_size=2)),
    st.builds(journal.CellUnsupported, WORDS),
    st.builds(journal.ExceptionRaised, STAGES, WORDS, WORDS, st.sampled_from(["", "host", "device"])),
    st.builds(journal.Created, FLOATS, st.none() | st.booleans()),
    st.builds(journal.FirstRun, FLOATS),
    st.builds(journal.Prepared, SETS),
    st.builds(
        journal.Compared, WORDS, WORDS, st.sampled_from(["", "shape"]), st.integers(0, 9),
        st.integers(0, 9), OPTIONAL, OPTIONAL, OPTIONAL, OPTIONAL, st.tuples(COUNTS),
    ),
    st.builds(journal.Unreferenced, WORDS),
    st.builds(
        journal.Placed,
        st.builds(
            Placement, WORDS, st.dictionaries(st.sampled_from(["EP", "CPU"]), st.integers(0, 3), max_size=2),
            st.dictionaries(WORDS, TABLES, max_size=2), TABLES,
        ),
    ),
    st.builds(journal.PrecisionEvidence, WORDS, st.floats(0, 1), OPTIONAL, WORDS),
    st.builds(
        journal.Timed, st.lists(COUNTS, max_size=4).map(tuple), WORDS, COUNTS, COUNTS, COUNTS,
        st.none() | COUNTS, st.none() | COUNTS, st.booleans(),
    ),
    st.builds(
        journal.DeviceTimed, st.lists(COUNTS, max_size=3).map(tuple), st.lists(COUNTS, max_size=3).map(tuple),
        COUNTS, WORDS,
    ),
    st.builds(journal.HostMemory, FLOATS, FLOATS),
    st.builds(journal.OutputsSaved, SETS),
    st.builds(journal.Artefact, WORDS, st.dictionaries(WORDS, WORDS, max_size=2)),
    st.builds(journal.Note, WORDS, WORDS),
    st.builds(journal.Finished, FLOATS),
)  # fmt: skip
JOURNALS = st.lists(EVENTS, max_size=8).map(tuple)
COMPLETE = JOURNALS.map(lambda events: (*events, journal.Finished(1.0)))  # a whole account, often
ENDINGS = st.builds(
    Ending,
    status=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    killed_for=st.none() | st.sampled_from(list(KilledFor)),
    limit=st.none() | st.floats(0, 1e6),
    oom_kill_delta=st.integers(0, 2),
)
GOOD = Ending(status=0, signal=None)
