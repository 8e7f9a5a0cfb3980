"""Local retrieval for validation and evaluation: hashed character n-grams and cosine similarity."""

from sklearn.feature_extraction.text import HashingVectorizer


class HashingRetriever:
    """Ranks passages by the cosine of l2-normed hashed character n-grams."""

    def __init__(self, passages: list[str]) -> None:
        self.vectorizer = HashingVectorizer(
            analyzer="char_wb", ngram_range=(3, 5), norm="l2", n_features=2**18
        )
        self.matrix = self.vectorizer.transform(passages)

    def search(self, queries: list[str], top: int) -> list[list[int]]:
        """Return the indices of the ``top`` passages of every query, best first."""
        scores = (self.vectorizer.transform(queries) @ self.matrix.T).toarray()
        order = (-scores).argsort(axis=1, kind="stable")
        return [[int(index) for index in row[:top]] for row in order]
