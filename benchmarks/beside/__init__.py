"""This tree beside an earlier commit: the same load in both, turn by turn, in one sitting."""
