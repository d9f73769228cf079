//! Jobs on several processes, some of which die.
