"""Counts the words of some texts: `nanoboost run wordcount.py --texts a.txt,b.txt`."""

from nanoboost import Input, Nano, NanoGraph, Output, Param


class Count(Nano):
    """Counts the words of one text."""

    text = Input()  # a file on the NAS, or another Nano's output
    words = Output("counts/{text.stem}.txt")  # where the result is published, relative to the NAS

    def run(self) -> None:  # plain blocking Python, in a process of its own
        """Write the number of words."""
        self.words.write_text(str(len(self.text.read_text().split())))


class Sum(Nano):
    """Adds up the counts."""

    counts = Input(many=True)
    total = Output("total.txt")

    def run(self) -> None:
        """Write the sum."""
        self.total.write_text(str(sum(int(each.read_text()) for each in self.counts)))


class WordCount(NanoGraph):
    """One Count for each text, and their Sum."""

    texts = Param(str)

    def build(self) -> Sum:  # runs once, where you submit; edges follow from the data
        """Link each Count to the Sum."""
        return Sum(counts=[Count(text=name).words for name in self.texts.split(",")])
