# The server as a container, with the embedded nano model.
#   docker build -t openmova .
#   docker run -p 8000:8000 openmova
#   docker run -p 8000:8000 -v /models:/models:ro openmova --model /models/mova-8b --quantize 4bit
# pip's index has torch for NVIDIA GPUs (docker run --gpus all ...), some gigabytes more; torch for the
# CPU alone comes from PyTorch's own: docker build --build-arg INDEX=URL-of-that-index -t openmova .
FROM python:3.12-slim

ARG INDEX=
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/cache

WORKDIR /src
COPY . .
RUN pip install --constraint constraints.txt ${INDEX:+--extra-index-url "$INDEX"} '.[serve,nano]' \
 && useradd --create-home openmova \
 && mkdir /cache && chown openmova /cache

USER openmova
WORKDIR /home/openmova
# nano is put together once, here, and not at every start.
RUN openmova setup nano

EXPOSE 8000
HEALTHCHECK --interval=10s --start-period=120s \
  CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/ready')"
# SIGTERM (docker stop) answers what is in hand: give it time, docker stop --time 120.
ENTRYPOINT ["openmova", "serve", "--host", "0.0.0.0"]
