from typing import List, Optional, Tuple

_Headers = List[Tuple[str, bytes]]
_Pairs = List[Tuple[str, str]]
_Refusal = Tuple[str, str]
_Covered = Tuple[bool, bool, bool, bool, bool, bool]
_Verdict = Tuple[str, int, Optional[str], Optional[str], Optional[int], _Covered, bool]
_Answer = Tuple[Optional[str], _Pairs, str, Optional[bytes]]

class Verifier:
    def __new__(
        cls,
        scheme: str,
        toml: Optional[str],
        secrets: List[bytes],
        tolerance_s: Optional[int],
        origin: Optional[str],
        parameters: _Pairs,
    ) -> Verifier: ...
    def scheme(self) -> str: ...
    def verify(
        self, method: str, url: str, headers: _Headers, body: bytes, now_ms: int
    ) -> Tuple[Optional[_Verdict], Optional[_Refusal]]: ...
    def handshake(
        self, method: str, url: str, headers: _Headers, body: bytes, now_ms: int, token: Optional[bytes]
    ) -> Tuple[Optional[_Answer], Optional[_Refusal]]: ...
    def sign(
        self, method: str, url: str, id: str, event_type: str, body: bytes, now_ms: int
    ) -> Tuple[_Pairs, _Pairs, List[int], Optional[bytes]]: ...

def generate(scheme: str, toml: Optional[str]) -> str: ...
def schemes() -> List[str]: ...
def scheme_source(scheme: str) -> Optional[str]: ...
