"""The demo's contest: draw.py draws it, score.py scores a submission; independent of podium/ and stages/."""
